// A list of texts or a CSV file: its rows are classified, shown in a table, and written as CSV.
import { byId, data, element, failure, fill, maxBytes, maxListed, maxRows, post, words } from "./common.js"
import { chosenPrompts, makeRow, neededBoxes, notice, prompts } from "./form.js"

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
  for (const prompt of chosenPrompts()) for (const [field, box] of prompts[prompt].boxes) names.get(box).add(field)
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
  if (needed.join() !== "text") throw new Error(fill(words.rows_header, { fields: needed.join(words.separator) }))
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
  notice(prompt, answer)
  const row = byId("rows-answers").querySelector("tbody").rows[at]
  const cell = row.cells[1 + results.boxes.length + 2 * results.prompts.indexOf(prompt)]
  const names = labels(answer)
  if (answer.error) cell.append(fill(words.rows_failed, { message: answer.error }))
  else cell.append(names.length ? data(names.join(words.separator)) : words.no_label)
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
