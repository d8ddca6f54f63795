// The form without leaving the page, and the history of this tab. The server makes the answers of the form, for browsers
// without scripts too.
import { byId, data, element, failure, post, sayError, showCode, words } from "./common.js"
import { chosenPrompts, form, makeRow, notice, prompts, readTexts, showBoxes } from "./form.js"

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
    noticeCards()
    if (response.ok) remember(entries, answers)
  } catch (error) {
    if (signal.aborted) return // a newer text is on its way
    byId("cards").replaceChildren()
    sayError(error)
  }
})

function show(answers) {
  byId("status").textContent = answers.getElementById("status").textContent
  byId("cards").replaceWith(document.importNode(answers.getElementById("cards"), true))
}

function noticeCards() {
  for (const { dataset } of byId("cards").querySelectorAll(".card")) notice(dataset.prompt, dataset)
}

function remember(entries, answers) {
  const texts = entries.filter(([name, text]) => name.startsWith("box.") && text).map(([, text]) => text)
  const summary = answers.getElementById("status").textContent
  const button = element("button", { type: "button" }, data([...texts.join(" · ")].slice(0, 80).join("")))
  button.addEventListener("click", () => {
    for (const box of form.querySelectorAll("[name=prompt]"))
      box.checked = entries.some(([name, value]) => name === "prompt" && value === box.value)
    for (const [name, value] of entries) {
      const box = form.elements[name]
      if (name.startsWith("box.") && box) box.value = value // a box may have gone with its prompts
    }
    showAll()
    show(answers)
    byId("answers").scrollIntoView()
  })
  byId("past").hidden = false
  const list = byId("past").querySelector("ol")
  list.prepend(element("li", {}, button, " ", data(summary)))
  if (list.children.length > MAX_HISTORY) list.lastChild.remove()
}

form.addEventListener("input", showAll)
byId("filter").addEventListener("input", (event) => {
  event.stopPropagation()
  filter()
})

function filter() {
  const part = byId("filter").value.toLowerCase()
  for (const item of form.querySelectorAll(".choices li")) {
    const box = item.querySelector("input")
    item.hidden = !box.checked && !box.value.toLowerCase().includes(part)
  }
}

// The boxes that the chosen prompts need, and the same request by other clients.
function showAll() {
  byId("filter-line").hidden = Object.keys(prompts).length < 12
  filter()
  showBoxes()
  const rows = chosenPrompts().map((prompt) => makeRow(prompt, readTexts()))
  showCode("classify", rows.length === 1 ? rows[0] : { rows })
}

showAll()
