"use client";

import { useState, type FormEvent } from "react";
import { classify } from "./classify";

const SERVICE = process.env.NEXT_PUBLIC_SERVICE ?? "http://localhost:8000/api"; // of examples/serve.py

type Answer = Awaited<ReturnType<typeof classify>>;

export default function Page() {
  const [text, setText] = useState("");
  const [answer, setAnswer] = useState<Answer | null>(null);
  const [problem, setProblem] = useState("");
  const [waits, setWaits] = useState(false);

  async function send(event: FormEvent) {
    event.preventDefault();
    setWaits(true);
    setProblem("");
    setAnswer(null);
    try {
      setAnswer(await classify(SERVICE, text, "reviews"));
    } catch (error) {
      setProblem(error instanceof Error ? error.message : String(error));
    } finally {
      setWaits(false);
    }
  }

  return (
    <main>
      <form onSubmit={send}>
        <label htmlFor="text">A review</label>
        <textarea id="text" value={text} onChange={(event) => setText(event.target.value)} required />
        <button disabled={waits}>Classify</button>
      </form>
      <div aria-live="polite">
        {problem && <p role="alert">{problem}</p>}
        {answer && (
          <>
            <p>
              <strong>{answer.label}</strong>, by version {answer.version} of {answer.prompt_id}
            </p>
            <ul>
              {Object.entries(answer.probabilities).map(([label, probability]) => (
                <li key={label}>
                  {label}: {(100 * probability).toFixed(1)} %
                </li>
              ))}
            </ul>
          </>
        )}
      </div>
    </main>
  );
}
