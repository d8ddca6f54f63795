/** @typedef {{ label: string, probabilities: Record<string, number>, prompt_id: string, version: number }} Answer */

const TRIES = 4;

/**
 * Classify a text by a prompt. After 429 it waits as long as the service asks for, and tries again.
 *
 * @param {string} service URL of the routes, as in "http://localhost:8000/api"
 * @param {string} text
 * @param {string} promptId name of a prompt, as in "reviews" or "reviews@canary"
 * @returns {Promise<Answer>}
 */
export async function classify(service, text, promptId) {
  for (let tried = 1; ; tried++) {
    const response = await fetch(`${service}/classify`, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ text, prompt_id: promptId }),
    });
    const body = await response.json().catch(() => ({}));
    if (response.ok) return body;
    if (response.status !== 429 || tried === TRIES) throw new Error(body.error ?? `HTTP ${response.status}`);
    const seconds = Number(response.headers.get("Retry-After") ?? 1);
    await new Promise((resolve) => setTimeout(resolve, 1000 * seconds));
  }
}
