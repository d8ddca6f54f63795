// The page for labelling without leaving it, and its keys. The server makes every part of the page, for browsers without
// scripts too: a key presses the button that shows it.
const NAME = "softcloze-name" // kept by this tab
const { words, name: offered } = JSON.parse(byId("data").textContent)
let isBusy = false
let isMeasuring = false

function byId(id) {
  return document.getElementById(id)
}

// Post entries, and get the part of the page that changes.
async function send(entries) {
  const response = await fetch("./", { method: "POST", body: new URLSearchParams([...entries, ["part", "work"]]) })
  if (response.headers.get("Content-Type")?.startsWith("text/html"))
    return new DOMParser().parseFromString(await response.text(), "text/html").getElementById("work")
  const answer = await response.json().catch(() => ({}))
  throw new Error(typeof answer.error === "string" ? answer.error : `HTTP ${response.status}`)
}

async function act(entries) {
  if (isBusy) return // a key that was pressed before the next text was there is not about it
  isBusy = true
  const late = setTimeout(() => (byId("status").textContent = words.working), 300)
  try {
    show(await send(entries))
  } catch (error) {
    byId("status").textContent = error instanceof TypeError ? words.unreachable : error.message
  } finally {
    clearTimeout(late)
    isBusy = false
  }
}

// Take the place of what was shown. Open parts and the focus stay while the text is the same.
function show(work) {
  const before = byId("work"), focused = document.activeElement
  const isSame = work.dataset.index === before.dataset.index && work.dataset.stage === before.dataset.stage
  const open = isSame ? [...before.querySelectorAll("details[id][open]")].map(({ id }) => id) : []
  const place = isSame && before.contains(focused) ? [focused.id, focused.name, focused.value] : null
  before.replaceWith(document.importNode(work, true))
  reveal()
  for (const id of open) byId(id)?.setAttribute("open", "")
  const all = [...byId("work").querySelectorAll("button, input, textarea, summary, [data-focus]")]
  const same = place && all.find(({ id, name, value }) => String([id, name, value]) === String(place))
  const target = same ?? byId("work").querySelector("[data-focus]")
  target?.focus({ preventScroll: true })
  if (!isSame) target?.scrollIntoView({ block: "nearest" })
  byId("status").textContent = work.dataset.message
  byId("keys").closest("p").hidden = work.dataset.stage === "results"
  if (byId("progress")) setTimeout(look, 400)
  if (work.dataset.due !== undefined) measure()
}

// What needs a script comes, and what stands for it goes.
function reveal() {
  for (const part of document.querySelectorAll("[data-script]")) part.hidden = false
  for (const part of document.querySelectorAll("[data-no-script]")) part.hidden = true
}

function common() {
  const { lang } = document.documentElement
  return [["lang", lang.slice(0, 2)], ["name", sessionStorage.getItem(NAME) ?? offered ?? ""]]
}

// How far the reading is; the page stays as it is until it is over.
async function look() {
  const work = await send([...common(), ["action", "open"]]).catch(() => null)
  if (work === null) return setTimeout(look, 2000)
  const progress = byId("progress"), now = work.querySelector("#progress")
  if (!progress || !now) return show(work)
  progress.max = now.max
  progress.value = now.value
  byId("progress-text").textContent = work.querySelector("#progress-text").textContent
  setTimeout(look, 400)
}

// Estimate anew while the labelling goes on.
async function measure() {
  if (isMeasuring) return
  isMeasuring = true
  try {
    const quality = (await send([...common(), ["action", "quality"]])).querySelector("#quality")
    if (quality && byId("quality") && !byId("quality").contains(document.activeElement))
      byId("quality").replaceWith(document.importNode(quality, true))
  } catch {
    // the next answer says that the server is gone
  } finally {
    isMeasuring = false
  }
}

document.addEventListener("submit", (event) => {
  event.preventDefault()
  const form = event.target
  if (form.elements.name.type !== "hidden") sessionStorage.setItem(NAME, form.elements.name.value)
  act([...new FormData(form, event.submitter)])
})

function isTyping({ target }) {
  return target.matches("textarea, select, input:not([type=checkbox])")
}

// The key of an event. A digit of a keyboard that writes digits with Shift counts without it, and wide signs as others.
function keyOf({ key, code, shiftKey }) {
  const digit = /^(?:Digit|Numpad)([0-9])$/.exec(code)
  if (digit && !shiftKey && !find(key)) return digit[1]
  return key.length === 1 ? key.normalize("NFKC").toLowerCase() : key
}

function find(key) {
  const all = [...byId("work").querySelectorAll("[data-key]:not(.rest[open])")]
  return all.find(({ dataset }) => dataset.key.split(" ").includes(key))
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.altKey || event.metaKey || event.isComposing || event.defaultPrevented) return
  if (isTyping(event)) {
    if (event.key === "Escape") byId("text")?.focus()
    if (event.key === "Enter" && event.target.id === "find") takeFirst(event)
    return
  }
  if (!byId("keys").checked || event.repeat) return
  const key = keyOf(event)
  const target = find(key)
  if (!target || (key === "Enter" && event.target.closest("button, summary, a"))) return
  if (key.startsWith("Arrow") && event.target.closest(".scroll")) return
  event.preventDefault()
  if (target.matches("details")) open(target)
  else if (target.matches("[type=search]")) target.focus()
  else target.click()
})

// Show the labels whose names have what is written in the box for it, and take the first of them.
function filter({ target }) {
  if (target.id !== "find") return
  const part = target.value.toLowerCase()
  for (const label of byId("work").querySelectorAll(".label"))
    label.hidden = !label.querySelector("bdi").textContent.toLowerCase().includes(part)
}

function takeFirst(event) {
  event.preventDefault()
  if (event.target.value) byId("work").querySelector(".label:not([hidden])")?.click()
  event.target.value = ""
  filter(event)
}

function open(details) {
  details.open = true
  details.querySelector("input:not([type=hidden]), textarea, button")?.focus()
}

document.addEventListener("input", filter)

reveal()
if (["start", "reading"].includes(byId("work").dataset.stage)) {
  const name = sessionStorage.getItem(NAME) ?? offered
  if (name !== null) act([...common(), ["action", "open"]])
}
