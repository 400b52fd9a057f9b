// The row of one file in the list. Its name and its status are always there, so that they can be found and read aloud. The
// rest of a long list (bar, figures, buttons, picture) is made when the row comes near the part in sight: `render`.

import { paintBar } from './bar.js'
import { paintPicture } from './thumbnail.js'
import { describe } from './chosen.js'
import { same } from './unfinished.js'
import { actsOf, figuresOf, statusOf } from './row_text.js'
import { copy, say } from './announce.js'
import { text } from './text.js'
import { leadToFile, watchUrl } from './tus.js'

const STRONG = new Set(['choose', 'resume', 'again', 'now', 'download'])
const SPOKEN = new Set(['paused', 'retrying', 'elsewhere', 'verified', 'failed', 'cancelled'])
const COPIED_STAYS = 2000 // ms

const clone = (id) => document.querySelector(id).content.cloneNode(true)

function write(element, words) {
  if (element.textContent !== words) element.textContent = words
}

function paintIcon(button, name) {
  button.querySelector('use').setAttribute('href', `#act-${name}`)
}

export class Row {
  isRendered = false
  #state = ''
  #shown = '' // the names of the buttons
  #buttons = new Map()

  // `acts` has a function for each button, and `isBrief` tells whether the list is long: then rows say less.
  constructor(transfer, acts, isBrief) {
    this.transfer = transfer
    this.acts = acts
    this.isBrief = isBrief
    this.element = clone('#row').firstElementChild
    this.name = this.element.querySelector('.name')
    this.status = this.element.querySelector('.status')
    this.name.textContent = transfer.about.name
  }

  render() {
    if (this.isRendered) return
    this.isRendered = true
    const { about, file } = this.transfer
    this.element.append(clone('#details'))
    const find = (selector) => this.element.querySelector(selector)
    this.figures = find('.figures')
    this.bar = find('.bar')
    this.hash = find('.hash')
    this.holder = find('.acts')
    const folder = about.path?.slice(0, -about.name.length)
    find('.folder').textContent = folder ?? ''
    this.element.classList.toggle('flat', !folder)
    this.name.title = about.path || about.name
    find('progress').setAttribute('aria-label', text('storedOfFile', { name: about.name }))
    paintPicture(find('.picture'), about, file)
    this.paint()
  }

  paint() {
    const { transfer, element } = this
    const { state, sha256, size, stored, sent } = transfer
    const status = statusOf(transfer, this.isBrief())
    write(this.status, status)
    if (this.isRendered) {
      const figures = figuresOf(transfer)
      write(this.figures, figures)
      this.figures.title = figures
      const isWhole = state === 'verified' || state === 'kept'
      paintBar(this.bar, isWhole ? size : stored, sent, size)
      this.hash.hidden = !sha256
      write(this.hash.querySelector('code'), sha256)
      this.status.title = status
      this.#paintButtons()
    }
    if (state === this.#state) return
    this.#state = element.dataset.state = state
    if (SPOKEN.has(state) && (state === 'failed' || !this.isBrief())) say(`${transfer.about.name}: ${status}`)
  }

  #paintButtons() {
    const names = actsOf(this.transfer)
    const { id, url } = this.transfer
    if (names.includes('download')) leadToFile(this.#button('download'), id, url)
    if (names.join() === this.#shown) return
    this.#shown = names.join()
    const { activeElement } = document
    const isFocused = this.holder.contains(activeElement)
    this.holder.replaceChildren(...names.map((name) => this.#button(name)))
    if (!isFocused) return
    if (this.holder.contains(activeElement)) activeElement.focus()
    else this.focus()
  }

  #button(name) {
    if (!this.#buttons.has(name)) this.#buttons.set(name, this.#makeButton(name))
    return this.#buttons.get(name)
  }

  #makeButton(act) {
    const template = { choose: '#choosing', download: '#downloading' }[act] ?? '#acting'
    const button = clone(template).firstElementChild
    const label = text('ofFile', { act: text(act === 'copy' ? 'copyHint' : act), name: this.transfer.about.name })
    button.dataset.act = act
    button.classList.toggle('strong', STRONG.has(act))
    button.title = text(act === 'copy' ? 'copyHint' : act)
    button.querySelector('.word').textContent = text(act)
    paintIcon(button, act)
    if (act === 'choose') {
      const input = button.querySelector('input')
      input.setAttribute('aria-label', label)
      input.onchange = () => this.#choose(input)
      return button
    }
    button.setAttribute('aria-label', label)
    if (act === 'copy') button.onclick = () => this.#copy(button)
    else if (act !== 'download') button.onclick = () => this.acts[act](this)
    return button
  }

  focus() {
    this.render()
    const [first] = this.holder.children
    const control = first.querySelector('input') ?? first
    control.focus()
  }

  async #copy(button) {
    await copy(watchUrl(this.transfer.id))
    say(text('linkCopied'))
    button.querySelector('.word').textContent = text('copied')
    paintIcon(button, 'copied')
    setTimeout(() => {
      button.querySelector('.word').textContent = text('copy')
      paintIcon(button, 'copy')
    }, COPIED_STAYS)
  }

  #choose(input) {
    const about = describe(input.files[0], this.transfer.about.path)
    input.value = ''
    if (same(about, this.transfer.about)) return this.acts.chosen(this, about.file)
    this.status.textContent = text('otherFile')
    say(this.status.textContent)
  }
}
