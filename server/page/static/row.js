// The row of one file in the list: what it shows in each state of its transfer, and which buttons it has then.

import { paintBar } from './bar.js'
import { same } from './remembered.js'
import { copy, say } from './say.js'
import { mayDo } from './token.js'
import { leadToFile, watchUrl } from './tus.js'
import { sayBytes, sayProgress, saySpeed, sayTime } from './words.js'

const BUTTONS = {
  left: ['choose', 'discard'],
  waiting: ['pause', 'cancel'],
  starting: ['pause', 'cancel'],
  uploading: ['pause', 'cancel', 'copy'],
  hashing: ['pause', 'cancel', 'copy'],
  verifying: ['cancel', 'copy'],
  retrying: ['pause', 'cancel', 'copy'],
  paused: ['resume', 'cancel', 'copy'],
  verified: ['download', 'copy', 'remove'],
  failed: ['again', 'remove'],
  cancelled: ['again', 'remove'],
}
const SCOPES = { download: 'download', copy: 'watch' } // what these buttons need
const SPOKEN = new Set(['paused', 'retrying', 'verified', 'failed', 'cancelled'])
const UNMEASURED = new Set(['waiting', 'verified', 'failed', 'cancelled']) // a share of the file would say nothing
const COPIED_STAYS = 2000 // ms

function statusOf(transfer) {
  const { state, why, size, hashed, retryAt } = transfer
  switch (state) {
    case 'left':
      return 'Unfinished. Choose the file again to resume'
    case 'waiting':
      return 'Waiting for its turn'
    case 'starting':
      return 'Contacting the server'
    case 'uploading':
      return 'Uploading'
    case 'hashing':
      return `Computing the SHA-256: ${Math.floor((100 * hashed) / size)} %`
    case 'verifying':
      return 'Verifying'
    case 'retrying':
      return `${why}. Trying again in ${sayTime((retryAt - performance.now()) / 1000)}`
    case 'paused':
      return 'Paused'
    case 'verified':
      return 'Verified: the server has exactly this file'
    case 'failed':
      return `Failed. ${why}`
    case 'cancelled':
      return 'Cancelled'
  }
}

function figuresOf({ state, size, stored, sent, rate, contentType }) {
  if (state === 'verified' && contentType) return `${sayBytes(size)} · ${contentType}`
  if (UNMEASURED.has(state)) return sayBytes(size)
  const speed = state === 'uploading' ? rate.perSecond : 0
  return [sayProgress(stored, size), ...saySpeed(speed, (size - sent) / speed)].join(' · ')
}

export class Row {
  #state = ''

  constructor(transfer, acts) {
    this.transfer = transfer
    this.element = document.querySelector('#row').content.firstElementChild.cloneNode(true)
    const find = (selector) => this.element.querySelector(selector)
    this.name = find('.name')
    this.status = find('.status')
    this.figures = find('.figures')
    this.bar = find('.bar')
    this.hash = find('.hash')
    this.name.textContent = transfer.about.name
    find('progress').setAttribute('aria-label', `Stored of ${transfer.about.name}`)
    for (const name of this.element.querySelectorAll('.of')) name.textContent = ` ${transfer.about.name}`
    for (const button of this.element.querySelectorAll('button[data-act]')) {
      button.onclick = () => (button.dataset.act === 'copy' ? this.#copy(button) : acts[button.dataset.act](this))
    }
    find('input').onchange = ({ target }) => this.#choose(target, acts.chosen)
    this.paint()
  }

  paint() {
    const { transfer, element } = this
    const { state, size, stored, sent, sha256, id, url } = transfer
    this.figures.textContent = figuresOf(transfer)
    this.status.textContent = statusOf(transfer)
    paintBar(this.bar, state === 'verified' ? size : stored, sent, size)
    if (id) leadToFile(element.querySelector('.download'), id, url)
    if (state === this.#state && Boolean(id) === this.hasLink) return
    this.#state = state
    this.hasLink = Boolean(id)
    element.dataset.state = state
    this.hash.hidden = !sha256
    this.hash.querySelector('code').textContent = sha256
    this.#paintButtons(state)
    if (SPOKEN.has(state)) say(`${transfer.about.name}: ${statusOf(transfer)}`)
  }

  #paintButtons(state) {
    const focused = this.element.querySelector(':focus')
    for (const act of this.element.querySelectorAll('[data-act]')) {
      const { act: name } = act.dataset
      const isOpen = !(name in SCOPES) || mayDo(SCOPES[name])
      act.hidden = !BUTTONS[state].includes(name) || !isOpen || (name === 'copy' && !this.hasLink)
    }
    if (focused?.closest('[hidden]')) this.focus()
  }

  focus() {
    const first = this.element.querySelector('[data-act]:not([hidden])')
    const control = first.querySelector('input') ?? first
    control.focus()
  }

  async #copy(button) {
    await copy(watchUrl(this.transfer.id))
    say('The link to watch it was copied')
    const [text] = button.childNodes
    text.data = 'Copied'
    setTimeout(() => (text.data = 'Copy link'), COPIED_STAYS)
  }

  #choose(input, chosen) {
    const [file] = input.files
    input.value = ''
    if (same(file, this.transfer.about)) return chosen(this, file)
    this.status.textContent = 'That is another file, or it has changed: its name, size or time differs'
    say(this.status.textContent)
  }
}
