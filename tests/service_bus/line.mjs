// Messages that wait for a consumer, in the order of their sequence numbers. A message that comes back (abandoned, its lock
// expired) takes its old place, before all younger ones.

export class Line {
  #fresh = []
  #head = 0
  #returned = []

  get length() {
    return this.#fresh.length - this.#head + this.#returned.length
  }

  /** Adds a message that is younger than all that were ever here. */
  push(message) {
    this.#fresh.push(message)
  }

  /** Adds a message that may be older than others. */
  putBack(message) {
    let [low, high] = [0, this.#returned.length]
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.#returned[middle].sequence > message.sequence) low = middle + 1
      else high = middle
    }
    this.#returned.splice(low, 0, message)
  }

  peek() {
    const fresh = this.#fresh[this.#head]
    const returned = this.#returned[this.#returned.length - 1]
    return returned && (!fresh || returned.sequence < fresh.sequence) ? returned : fresh
  }

  shift() {
    const next = this.peek()
    if (next === undefined) return undefined
    if (next === this.#returned[this.#returned.length - 1]) {
      this.#returned.pop()
      return next
    }
    this.#fresh[this.#head++] = undefined
    if (this.#head > 4096 && this.#head * 2 > this.#fresh.length) {
      this.#fresh = this.#fresh.slice(this.#head)
      this.#head = 0
    }
    return next
  }

  /** Takes out what `unwanted` says, wherever it stands. */
  remove(unwanted) {
    const kept = (list) => list.filter((message) => !unwanted(message))
    this.#returned = kept(this.#returned)
    this.#fresh = kept(this.#fresh.slice(this.#head))
    this.#head = 0
  }
}
