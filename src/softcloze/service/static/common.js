// What the scripts of the pages share. Texts become text nodes only.
export const { words, maxListed, maxRows, maxBytes, needsToken } = JSON.parse(byId("data").textContent)

export function byId(id) {
  return document.getElementById(id)
}

export function fill(text, values) {
  return text.replace(/\{(\w+)\}/g, (_, name) => values[name])
}

export function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties)
  made.append(...children)
  return made
}

// A text of a user or a prompt: apart from the direction and the language around it.
export function data(text) {
  return element("bdi", { lang: /[\u3400-\u4dbf\u4e00-\u9fff]/.test(text) ? "zh" : "" }, text)
}

function pause(milliseconds, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, milliseconds)
    signal.addEventListener("abort", () => (clearTimeout(timer), reject(signal.reason)), { once: true })
  })
}

// Post a body; while the service is busy, say so and try again when it says.
export async function post(path, body, type, signal, say) {
  for (;;) {
    signal.throwIfAborted()
    const response = await fetch(path, { method: "POST", body, signal, headers: { "Content-Type": type } })
    if (response.status !== 429) return response
    const seconds = Math.max(1, Number(response.headers.get("Retry-After")) || 1)
    say(fill(words.busy, { seconds }))
    await pause(1000 * seconds, signal)
  }
}

export async function failure(response) {
  const answer = await response.json().catch(() => ({}))
  return typeof answer.error === "string" ? answer.error : `HTTP ${response.status}`
}

export function sayError(error) {
  byId("status").textContent = error instanceof TypeError ? words.unreachable : fill(words.error, error)
}

// The same request by other clients.
export function showCode(path, value) {
  const body = JSON.stringify(value, null, 2)
  const url = new URL(path, document.baseURI).href.split("?")[0]
  const shell = `'${body.replaceAll("'", `'\\''`)}'`
  byId("curl").textContent =
    `curl ${url} -H 'Content-Type: application/json' \\\n` +
    (needsToken ? `  -H "Authorization: Bearer $SOFTCLOZE_TOKEN" \\\n` : "") +
    `  -d ${shell}\n`
  byId("python").textContent =
    `import json\n${needsToken ? "import os\n" : ""}from urllib.request import Request, urlopen\n\n` +
    `body = ${body}\n` + // of objects, lists and strings, which Python writes alike
    `headers = {"Content-Type": "application/json"}\n` +
    (needsToken ? `headers["Authorization"] = "Bearer " + os.environ["SOFTCLOZE_TOKEN"]\n` : "") +
    `with urlopen(Request("${url}", json.dumps(body).encode(), headers)) as answer:\n    print(json.load(answer))\n`
}

byId("requests").addEventListener("click", async (event) => {
  const source = byId(event.target.dataset.copy ?? "")
  if (source === null) return
  try {
    await navigator.clipboard.writeText(source.textContent)
    byId("copied").textContent = words.copied
  } catch {
    getSelection().selectAllChildren(source)
    byId("copied").textContent = words.select
  }
})
