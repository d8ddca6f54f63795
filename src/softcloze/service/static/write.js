// Texts that appear while they are written. Without scripts the form is answered with the whole text.
import { byId, failure, fill, post, sayError, showCode, words } from "./common.js"
import { chosenPrompts, form, makeRow, notice, readTexts, refresh, showBoxes } from "./form.js"

let current = new AbortController()

function request() {
  const [prompt] = chosenPrompts()
  const most = byId("new-tokens").valueAsNumber
  return { ...makeRow(prompt, readTexts()), ...(Number.isNaN(most) ? {} : { max_new_tokens: most }) }
}

// The events of a response, each with its name and its data.
async function* events(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader()
  let text = ""
  for (;;) {
    const { value, done } = await reader.read()
    if (done) return
    const parts = (text + value).split("\n\n")
    text = parts.pop()
    for (const part of parts) {
      const lines = Object.fromEntries(part.split("\n").map((line) => line.split(/: (.*)/s, 2)))
      yield [lines.event ?? "message", JSON.parse(lines.data)]
    }
  }
}

form.addEventListener("submit", async (event) => {
  event.preventDefault()
  current.abort()
  const { signal } = (current = new AbortController())
  const say = (text) => (byId("status").textContent = text)
  const [prompt] = chosenPrompts()
  if (prompt === undefined) return say(words.no_generator)
  if (!Object.values(readTexts()).some((text) => text)) return say(words.no_text)
  say(words.writing)
  byId("text").replaceChildren()
  byId("cut").hidden = true
  setWriting(true)
  const started = performance.now()
  try {
    const body = JSON.stringify({ ...request(), stream: true })
    const response = await post("generate", body, "application/json", signal, say)
    if (response.status === 404) refresh()
    if (!response.ok) throw new Error(await failure(response))
    say(words.writing) // also after the service was busy
    for await (const [name, data] of events(response)) {
      signal.throwIfAborted()
      if (name === "message") byId("text").append(data.text)
      else if (name === "error") throw new Error(data.error)
      else {
        showEnd(data, Math.round(performance.now() - started))
        notice(prompt, data)
      }
    }
  } catch (error) {
    if (signal !== current.signal) return // a newer text is on its way
    if (signal.aborted) say(words.stopped)
    else sayError(error)
  } finally {
    if (signal === current.signal) setWriting(false)
  }
})

function showEnd(answer, milliseconds) {
  const finish = { stop: words.finish_stop, end: words.finish_end, length: words.finish_length }[answer.finish]
  const name = `${answer.prompt_id}@${answer.version}`
  byId("status").textContent = fill(words.text_written, { name, tokens: answer.new_tokens, milliseconds, finish })
  const cut = Object.entries(answer.cut).map(([field, tokens]) => fill(words.cut, { tokens, field }))
  byId("cut").textContent = cut.join(" ")
  byId("cut").hidden = !cut.length
}

function setWriting(isWriting) {
  const hadFocus = document.activeElement === byId("stop")
  byId("stop").disabled = !isWriting
  byId("text").ariaBusy = `${isWriting}`
  if (hadFocus && !isWriting) form.querySelector("button.main").focus()
}

function showAll() {
  showBoxes()
  if (chosenPrompts().length) showCode("generate", request())
}

byId("stop").addEventListener("click", () => current.abort())
addEventListener("pagehide", () => current.abort())
form.addEventListener("input", showAll)
showAll()
