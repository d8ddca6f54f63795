// The form without leaving the page, requests to copy, and the history of this tab. The server makes the answers of the
// form, for browsers without scripts too. Texts become text nodes only.
export const { words, prompts, maxListed, maxRows, maxBytes, needsToken } = JSON.parse(byId("data").textContent)
const form = byId("try")
const boxes = new Map([...form.querySelectorAll("[data-box]")].map((box) => [box.dataset.box, box]))

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

// Rows ------------------------------------------------------------------------------------------------------------

export function chosenPrompts() {
  return [...form.querySelectorAll("[name=prompt]:checked")].map((box) => box.value)
}

// The row of a request: a text, or the fields of the template; `texts` by the names of the boxes.
export function makeRow(prompt, texts) {
  const value = ([, box, isList]) =>
    isList ? (texts[box] ?? "").split("\n").filter((line) => line.trim()) : (texts[box] ?? "")
  const needed = prompts[prompt]
  if (needed.length === 1 && !needed[0][2]) return { text: value(needed[0]), prompt_id: prompt }
  return { fields: Object.fromEntries(needed.map((one) => [one[0], value(one)])), prompt_id: prompt }
}

export function neededBoxes() {
  return new Set(chosenPrompts().flatMap((prompt) => prompts[prompt].map(([, box]) => box)))
}

// The form --------------------------------------------------------------------------------------------------------

const MAX_HISTORY = 50
let current = new AbortController()

form.addEventListener("submit", async (event) => {
  event.preventDefault()
  current.abort()
  const { signal } = (current = new AbortController())
  const entries = [...new FormData(form, event.submitter)]
  byId("status").textContent = words.working
  try {
    const say = (text) => (byId("status").textContent = text)
    const body = new URLSearchParams([...entries, ["part", "answers"]]).toString()
    const response = await post("./", body, "application/x-www-form-urlencoded", signal, say)
    if (!response.headers.get("Content-Type")?.startsWith("text/html")) throw new Error(await failure(response))
    const answers = new DOMParser().parseFromString(await response.text(), "text/html")
    signal.throwIfAborted()
    show(answers)
    if (response.ok) remember(entries, answers)
  } catch (error) {
    if (signal.aborted) return // a newer text is on its way
    byId("cards").replaceChildren()
    sayError(error)
  }
})

function sayError(error) {
  byId("status").textContent = error instanceof TypeError ? words.unreachable : fill(words.error, error)
}

function show(answers) {
  byId("status").textContent = answers.getElementById("status").textContent
  byId("cards").replaceWith(document.importNode(answers.getElementById("cards"), true))
}

function remember(entries, answers) {
  const texts = entries.filter(([name, text]) => name.startsWith("box.") && text).map(([, text]) => text)
  const summary = answers.getElementById("status").textContent
  const button = element("button", { type: "button" }, data([...texts.join(" · ")].slice(0, 80).join("")))
  button.addEventListener("click", () => {
    for (const box of form.querySelectorAll("[name=prompt]"))
      box.checked = entries.some(([name, value]) => name === "prompt" && value === box.value)
    for (const [name, value] of entries) if (name.startsWith("box.")) form.elements[name].value = value
    showBoxes()
    show(answers)
    byId("answers").scrollIntoView()
  })
  byId("past").hidden = false
  const list = byId("past").querySelector("ol")
  list.prepend(element("li", {}, button, " ", data(summary)))
  if (list.children.length > MAX_HISTORY) list.lastChild.remove()
}

// Show the boxes that the chosen prompts need.
function showBoxes() {
  const needed = neededBoxes()
  for (const [name, box] of boxes) box.hidden = !needed.has(name) && needed.size > 0
  showRequests()
}

form.addEventListener("input", showBoxes)
form.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return
  event.preventDefault()
  form.requestSubmit(form.querySelector("button.main"))
})
byId("filter").addEventListener("input", (event) => {
  event.stopPropagation()
  const part = event.target.value.toLowerCase()
  for (const item of form.querySelectorAll(".choices li")) {
    const box = item.querySelector("input")
    item.hidden = !box.checked && !box.value.toLowerCase().includes(part)
  }
})

// The same requests by other clients ------------------------------------------------------------------------------

function showRequests() {
  if (!byId("requests").open) return
  const texts = Object.fromEntries([...boxes].map(([name, box]) => [name, box.querySelector("textarea").value]))
  const rows = chosenPrompts().map((prompt) => makeRow(prompt, texts))
  const body = JSON.stringify(rows.length === 1 ? rows[0] : { rows }, null, 2)
  const url = new URL("classify", document.baseURI).href.split("?")[0]
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

byId("requests").addEventListener("toggle", showRequests)
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

for (const part of document.querySelectorAll("[data-script]")) part.hidden = false
byId("keys").hidden = false
byId("filter-line").hidden = Object.keys(prompts).length < 12
showBoxes()
