// What the scripts of the pages share. Texts become text nodes only.
export const { words, prompts, maxListed, maxRows, maxBytes, needsToken } = JSON.parse(byId("data").textContent)

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

// The row of a request: a text, or the fields of the template; `texts` by the names of the boxes.
export function makeRow(prompt, texts) {
  const value = ([, box, isList]) =>
    isList ? (texts[box] ?? "").split("\n").filter((line) => line.trim()) : (texts[box] ?? "")
  const needed = prompts[prompt]
  if (needed.length === 1 && !needed[0][2]) return { text: value(needed[0]), prompt_id: prompt }
  return { fields: Object.fromEntries(needed.map((one) => [one[0], value(one)])), prompt_id: prompt }
}

// The form --------------------------------------------------------------------------------------------------------

export const form = byId("try")
const boxes = new Map([...form.querySelectorAll("[data-box]")].map((box) => [box.dataset.box, box]))

export function chosenPrompts() {
  return [...form.querySelectorAll("[name=prompt]:checked")].map((box) => box.value)
}

export function neededBoxes() {
  return new Set(chosenPrompts().flatMap((prompt) => prompts[prompt].map(([, box]) => box)))
}

export function readTexts() {
  return Object.fromEntries([...boxes].map(([name, box]) => [name, box.querySelector("textarea").value]))
}

// Show the boxes that the chosen prompts need.
export function showBoxes() {
  const needed = neededBoxes()
  for (const [name, box] of boxes) box.hidden = !needed.has(name) && needed.size > 0
}

export function sayError(error) {
  byId("status").textContent = error instanceof TypeError ? words.unreachable : fill(words.error, error)
}

form.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return
  event.preventDefault()
  form.requestSubmit(form.querySelector("button.main"))
})
for (const part of document.querySelectorAll("[data-script]")) part.hidden = false

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
