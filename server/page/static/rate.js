// Bytes a second over the last seconds.

const WINDOW = 8000 // ms

export class Rate {
  #samples = []

  clear() {
    this.#samples = []
  }

  note(bytes, now = performance.now()) {
    this.#samples.push([now, bytes])
    while (now - this.#samples[0][0] > WINDOW) this.#samples.shift()
  }

  get perSecond() {
    if (this.#samples.length < 2) return 0
    const [began, from] = this.#samples[0]
    const seconds = (performance.now() - began) / 1000
    return seconds < 0.5 ? 0 : Math.max(0, (this.#samples.at(-1)[1] - from) / seconds)
  }
}
