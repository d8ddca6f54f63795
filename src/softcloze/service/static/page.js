// The page of the service without leaving it. The server makes the answers of the form, for browsers without scripts
// too; here are lists of rows, requests to copy, and the history of this tab. Text becomes text nodes only.
const { words, prompts, maxListed, maxRows, maxBytes, needsToken } = JSON.parse(byId("data").textContent)
const form = byId("try")
const boxes = new Map([...form.querySelectorAll("[data-box]")].map((box) => [box.dataset.box, box]))

function byId(id) {
  return document.getElementById(id)
}

function fill(text, values) {
  return text.replace(/\{(\w+)\}/g, (_, name) => values[name])
}

function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties)
  made.append(...children)
  return made
}

// A text of a user or a prompt: apart from the direction and the language around it.
function data(text) {
  return element("bdi", { lang: /[\u3400-\u4dbf\u4e00-\u9fff]/.test(text) ? "zh" : "" }, text)
}

function pause(milliseconds, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, milliseconds)
    signal.addEventListener("abort", () => (clearTimeout(timer), reject(signal.reason)), { once: true })
  })
}

// Post a body; while the service is busy, say so and try again when it says.
async function post(path, body, type, signal, say) {
  for (;;) {
    signal.throwIfAborted()
    const response = await fetch(path, { method: "POST", body, signal, headers: { "Content-Type": type } })
    if (response.status !== 429) return response
    const seconds = Math.max(1, Number(response.headers.get("Retry-After")) || 1)
    say(fill(words.busy, { seconds }))
    await pause(1000 * seconds, signal)
  }
}

async function failure(response) {
  const answer = await response.json().catch(() => ({}))
  return typeof answer.error === "string" ? answer.error : `HTTP ${response.status}`
}

// Rows ------------------------------------------------------------------------------------------------------------

function chosenPrompts() {
  return [...form.querySelectorAll("[name=prompt]:checked")].map((box) => box.value)
}

// The row of a request: a text, or the fields of the template; `texts` by the names of the boxes.
function makeRow(prompt, texts) {
  const value = ([, box, isList]) =>
    isList ? (texts[box] ?? "").split("\n").filter((line) => line.trim()) : (texts[box] ?? "")
  const needed = prompts[prompt]
  if (needed.length === 1 && !needed[0][2]) return { text: value(needed[0]), prompt_id: prompt }
  return { fields: Object.fromEntries(needed.map((one) => [one[0], value(one)])), prompt_id: prompt }
}

function neededBoxes() {
  return new Set(chosenPrompts().flatMap((prompt) => prompts[prompt].map(([, box]) => box)))
}

// The form --------------------------------------------------------------------------------------------------------

let current = new AbortController()
const past = []

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
  const button = element("button", { type: "button" }, data(texts.join(" · ").slice(0, 80)))
  button.addEventListener("click", () => {
    for (const box of form.querySelectorAll("[name=prompt]"))
      box.checked = entries.some(([name, value]) => name === "prompt" && value === box.value)
    for (const [name, value] of entries) if (name.startsWith("box.")) form.elements[name].value = value
    showBoxes()
    show(answers)
    byId("answers").scrollIntoView()
  })
  byId("past").hidden = false
  byId("past").querySelector("ol").prepend(element("li", {}, button, " ", data(summary)))
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

// A list or a CSV file --------------------------------------------------------------------------------------------

// The records of a text with separated values, as RFC 4180 has it.
function parseRecords(text, separator) {
  const records = []
  let record = [], cell = "", quoted = false
  for (let i = 0; i < text.length; i++) {
    const letter = text[i]
    if (quoted) {
      if (letter !== '"') cell += letter
      else if (text[i + 1] === '"') cell += text[++i]
      else quoted = false
    } else if (letter === '"' && cell === "") quoted = true
    else if (letter === separator) record.push(cell), (cell = "")
    else if (letter === "\n") records.push([...record, cell]), (record = []), (cell = "")
    else cell += letter
  }
  if (cell !== "" || record.length) records.push([...record, cell])
  return records.filter((cells) => cells.some((one) => one !== ""))
}

// The rows of a text, each with its texts by the names of the boxes.
function readRows(text) {
  const needed = [...neededBoxes()]
  const names = new Map(needed.map((box) => [box, new Set([box])])) // the names that a column may have
  for (const prompt of chosenPrompts()) for (const [field, box] of prompts[prompt]) names.get(box).add(field)
  text = text.replace(/^\ufeff/, "").replace(/\r\n?/g, "\n")
  const first = text.split("\n", 1)[0]
  for (const separator of [",", "\t", ";"]) {
    const header = (parseRecords(first, separator)[0] ?? []).map((name) => name.trim())
    const columns = needed.map((box) => header.findIndex((name) => names.get(box).has(name)))
    if (columns.includes(-1)) continue
    return parseRecords(text, separator)
      .slice(1)
      .map((cells) => Object.fromEntries(needed.map((box, i) => [box, cells[columns[i]] ?? ""])))
  }
  if (needed.join() !== "text") throw new Error(fill(words.rows_header, { fields: needed.join(", ") }))
  return text.split("\n").filter((line) => line.trim()).map((line) => ({ text: line }))
}

// Requests of as many rows as the service takes; each row with its place in the table.
function* batches(jobs) {
  const size = (job) => new Blob([JSON.stringify(job.row)]).size + 2
  let batch = [], bytes = 0
  for (const job of jobs) {
    if (batch.length && (batch.length === maxRows || bytes + size(job) > maxBytes - 100)) {
      yield batch
      batch = []
      bytes = 0
    }
    batch.push(job)
    bytes += size(job)
  }
  if (batch.length) yield batch
}

let run = new AbortController()
let results = { prompts: [], boxes: [], rows: [] } // of the table; a row has its texts, and its answers by prompts

byId("run").addEventListener("click", async () => {
  let rows
  try {
    if (!chosenPrompts().length) throw new Error(words.no_prompt)
    rows = readRows(byId("rows").value)
    if (!rows.length) throw new Error(words.rows_none)
    if (rows.length > maxListed) throw new Error(fill(words.rows_too_many, { count: rows.length, rows: maxListed }))
  } catch (error) {
    return sayRows(error.message)
  }
  results = { prompts: chosenPrompts(), boxes: [...neededBoxes()], rows: rows.map((texts) => ({ texts, answers: {} })) }
  drawTable()
  run = new AbortController()
  setRunning(true)
  const jobs = results.rows.flatMap((result, at) =>
    results.prompts.map((prompt) => ({ row: makeRow(prompt, result.texts), prompt, at })),
  )
  const count = jobs.length, started = performance.now()
  let done = 0
  try {
    for (const batch of batches(jobs)) {
      const answers = await classifyRows(batch.map((job) => job.row))
      batch.forEach((job, i) => drawAnswer(job, answers[i]))
      done += batch.length
      byId("progress").value = done / count
      sayRows(fill(words.rows_progress, { done, count }))
    }
    const failed = results.rows.flatMap((row) => Object.values(row.answers)).filter((answer) => answer.error).length
    sayRows(fill(words.rows_done, { count, failed, seconds: ((performance.now() - started) / 1000).toFixed(1) }))
  } catch (error) {
    const message = error instanceof TypeError ? words.unreachable : error.message
    sayRows(fill(run.signal.aborted ? words.rows_cancelled : words.rows_stopped, { done, count, message }))
  } finally {
    setRunning(false)
  }
})

function sayRows(text) {
  byId("rows-status").textContent = text
}

// The answers of one request; its rows share the error of a request that the service did not take.
async function classifyRows(rows) {
  const response = await post("classify", JSON.stringify({ rows }), "application/json", run.signal, sayRows)
  if (response.ok) return (await response.json()).rows
  const error = await failure(response)
  if (![413, 422, 504].includes(response.status)) throw new Error(error)
  return rows.map(() => ({ error }))
}

function setRunning(isRunning) {
  byId("run").disabled = isRunning
  byId("cancel").disabled = !isRunning
  byId("progress").hidden = !isRunning
  byId("progress").value = 0
  byId("rows-answers").hidden = false
  byId(isRunning ? "cancel" : "run").focus() // the other one is disabled
}

function drawTable() {
  const header = (text, span = 1) => element("th", { scope: "col", colSpan: span }, text)
  const several = results.prompts.length > 1
  const answers = results.prompts.flatMap((prompt) => [
    header(several ? element("span", {}, data(prompt), " ", words.label) : words.label),
    header(words.probability),
  ])
  const names = results.boxes.map((box) => header(box === "text" ? words.text : data(box)))
  const table = byId("rows-answers").querySelector("table")
  table.tHead.replaceChildren(element("tr", {}, header(words.row), ...names, ...answers))
  table.tBodies[0].replaceChildren(
    ...results.rows.map(({ texts }, i) =>
      element(
        "tr",
        {},
        element("th", { scope: "row", className: "number" }, `${i + 1}`),
        ...results.boxes.map((box) => element("td", {}, data(texts[box] ?? ""))),
        ...results.prompts.flatMap(() => [element("td"), element("td", { className: "number" })]),
      ),
    ),
  )
}

function drawAnswer({ at, prompt }, answer) {
  results.rows[at].answers[prompt] = answer
  const row = byId("rows-answers").querySelector("tbody").rows[at]
  const cell = row.cells[1 + results.boxes.length + 2 * results.prompts.indexOf(prompt)]
  const names = labels(answer)
  if (answer.error) cell.append(fill(words.rows_failed, { message: answer.error }))
  else cell.append(names.length ? data(names.join(", ")) : words.no_label)
  const best = answer.probabilities?.[names[0]]
  if (names.length === 1 && best !== undefined) cell.nextSibling.append(`${(100 * best).toFixed(2)}%`)
}

function labels(answer) {
  return (answer.labels ?? [answer.label]).filter((label) => label !== undefined).map(String)
}

// Quoted as RFC 4180 has it. A text that a spreadsheet would take for a formula gets an apostrophe; numbers do not.
function csvCell(value) {
  const text = typeof value === "string" && /^[=+\-@\t\r]/.test(value) ? `'${value}` : `${value ?? ""}`
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text
}

function csv() {
  const header = [...results.boxes], columns = results.boxes.map((box) => (row) => row.texts[box])
  for (const prompt of results.prompts) {
    const name = results.prompts.length > 1 ? `${prompt} ` : ""
    const answers = results.rows.map((row) => row.answers[prompt] ?? {})
    const add = (title, read) => (header.push(name + title), columns.push((row) => read(row.answers[prompt] ?? {})))
    add("label", (answer) => labels(answer).join("; "))
    add("version", (answer) => answer.version)
    for (const label of new Set(answers.flatMap((answer) => Object.keys(answer.probabilities ?? {}))))
      add(`probability of ${label}`, (answer) => answer.probabilities?.[label])
    add("error", (answer) => answer.error)
  }
  const lines = [header, ...results.rows.map((row) => columns.map((read) => read(row)))]
  return lines.map((cells) => cells.map(csvCell).join(",") + "\r\n").join("")
}

byId("cancel").addEventListener("click", () => run.abort())
byId("download").addEventListener("click", () => {
  const href = URL.createObjectURL(new Blob(["\ufeff", csv()], { type: "text/csv" })) // the mark is for Excel
  element("a", { href, download: "answers.csv" }).click()
  URL.revokeObjectURL(href)
})
byId("file").addEventListener("change", async (event) => {
  const [file] = event.target.files
  if (file === undefined) return
  const bytes = await file.arrayBuffer()
  try {
    byId("rows").value = new TextDecoder("utf-8", { fatal: true }).decode(bytes)
  } catch {
    byId("rows").value = new TextDecoder("gb18030").decode(bytes) // as Chinese spreadsheets write
  }
})

for (const part of document.querySelectorAll("[data-script]")) part.hidden = false
byId("keys").hidden = false
byId("filter-line").hidden = Object.keys(prompts).length < 12
showBoxes()
