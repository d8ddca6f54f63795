// The form of a page: its prompts, which follow the service, the boxes that they need, and the rows of requests.
import { byId, element, fill, words } from "./common.js"

export const form = byId("try")
export let { prompts } = readData(document) // by reference: the number of the version, and its boxes

function readData(page) {
  return JSON.parse(page.getElementById("data").textContent)
}

function boxes(page = document) {
  return [...page.querySelectorAll("[data-box]")]
}

export function chosenPrompts() {
  return [...form.querySelectorAll("[name=prompt]:checked")].map((box) => box.value)
}

export function neededBoxes() {
  return new Set(chosenPrompts().flatMap((prompt) => prompts[prompt].boxes.map(([, box]) => box)))
}

export function readTexts() {
  return Object.fromEntries(boxes().map((box) => [box.dataset.box, box.querySelector("textarea").value]))
}

// Show the boxes that the chosen prompts need, and their examples.
export function showBoxes() {
  const needed = neededBoxes()
  for (const box of boxes()) box.hidden = !needed.has(box.dataset.box) && needed.size > 0
  const chosen = chosenPrompts()
  for (const group of form.querySelectorAll("[data-examples]")) group.hidden = !chosen.includes(group.dataset.examples)
}

// The row of a request: a text, or the fields of the template; `texts` by the names of the boxes.
export function makeRow(prompt, texts) {
  const value = ([, box, isList]) =>
    isList ? (texts[box] ?? "").split("\n").filter((line) => line.trim()) : (texts[box] ?? "")
  const needed = prompts[prompt].boxes
  if (needed.length === 1 && !needed[0][2]) return { text: value(needed[0]), prompt_id: prompt }
  return { fields: Object.fromEntries(needed.map((one) => [one[0], value(one)])), prompt_id: prompt }
}

form.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return
  event.preventDefault()
  form.requestSubmit(form.querySelector("button.main"))
})
form.addEventListener("click", (event) => {
  const button = event.target.closest("[name=example]")
  if (button === null) return
  event.preventDefault()
  const [reference, index] = button.value.split("/")
  const texts = prompts[reference].examples[index]
  for (const box of boxes())
    if (Object.hasOwn(texts, box.dataset.box)) box.querySelector("textarea").value = texts[box.dataset.box]
  form.dispatchEvent(new Event("input"))
})
for (const part of document.querySelectorAll("[data-script]")) part.hidden = false

// Prompts that come, move and go while the page is open -----------------------------------------------------------

let refreshing = false

// Take the prompts that are served now, and say what changed. The choice of the user stays where it can.
export async function refresh() {
  if (refreshing) return
  refreshing = true
  try {
    const response = await fetch(`${location.pathname}?lang=${form.elements.lang.value}`)
    if (response.ok) take(new DOMParser().parseFromString(await response.text(), "text/html"))
  } catch {
    // the service does not answer: the next request says so
  } finally {
    refreshing = false
  }
}

function take(page) {
  const before = prompts, chosen = chosenPrompts()
  const { prompts: now } = readData(page)
  if (JSON.stringify(now) === JSON.stringify(before)) return
  keepingFocus(() => {
    prompts = now
    for (const box of page.querySelectorAll("[name=prompt]")) box.checked = chosen.includes(box.value)
    replace(page, "choices")
    replaceBoxes(page)
    replace(page, "examples")
  })
  byId("no-prompts").hidden = Object.keys(now).length > 0
  if (byId("faults")) replace(page, "faults")
  byId("changes").replaceChildren(...changes(before, now, chosen).map((text) => element("span", {}, text)))
  form.dispatchEvent(new Event("input"))
}

function replace(page, id) {
  byId(id).replaceWith(document.importNode(page.getElementById(id), true))
}

// Texts stay in the boxes that stay.
function replaceBoxes(page) {
  const texts = readTexts()
  const described = (all) => JSON.stringify(all.map((box) => [box.dataset.box, box.querySelector("p")?.textContent]))
  if (described(boxes()) === described(boxes(page))) return
  replace(page, "boxes")
  for (const box of boxes()) box.querySelector("textarea").value = texts[box.dataset.box] ?? ""
}

// The focus and the selection go to the element that takes the place of the one that had them.
function keepingFocus(change) {
  const { name, value, selectionStart, selectionEnd } = document.activeElement
  const isRadioOrBox = name === "prompt"
  change()
  if (document.activeElement !== document.body || !name) return
  const same = [...form.querySelectorAll(`[name="${CSS.escape(name)}"]`)]
  const target = isRadioOrBox ? (same.find((box) => box.value === value) ?? same[0]) : same[0]
  target?.focus({ preventScroll: true })
  if (target?.matches("textarea")) target.setSelectionRange(selectionStart, selectionEnd)
}

function changes(before, now, chosen) {
  const gone = Object.keys(before).filter((name) => !(name in now))
  const come = Object.keys(now).filter((name) => !(name in before))
  const moved = Object.keys(now).filter((name) => name in before && before[name].version !== now[name].version)
  const parts = [
    [words.list_unchosen, gone.filter((name) => chosen.includes(name))],
    [words.list_removed, gone.filter((name) => !chosen.includes(name))],
    [words.list_moved, moved.map((name) => fill(words.list_version, { name, version: now[name].version }))],
    [words.list_added, come],
  ]
  const said = parts.filter(([, names]) => names.length)
  return said.map(([text, names]) => fill(text, { names: names.join(words.separator) }))
}

// Look again if an answer shows that the list is not that of the service any more.
export function notice(prompt, { version, code }) {
  const isOther = version !== undefined && prompts[prompt] !== undefined && prompts[prompt].version !== Number(version)
  if (isOther || code === "unknown_prompt" || code === "unknown_version") refresh()
}

addEventListener("focus", refresh)
document.addEventListener("visibilitychange", () => document.visibilityState === "visible" && refresh())
