// Sizes, rates and times in words, all in decimal units.

import { locale, text } from './text.js'

const UNITS = ['byte', 'kilobyte', 'megabyte', 'gigabyte', 'terabyte', 'petabyte']

const formats = new Map()

function sayUnit(count, unit, digits = 0) {
  const key = `${unit} ${digits}`
  if (!formats.has(key)) {
    const unitDisplay = unit === 'byte' ? 'long' : 'short'
    const options = { style: 'unit', unit, unitDisplay, minimumFractionDigits: digits, maximumFractionDigits: digits }
    formats.set(key, new Intl.NumberFormat(locale, options))
  }
  return formats.get(key).format(count).replace(/ /g, '\u00a0') // a number and its unit stay on one line
}

export function sayBytes(count) {
  let unit = 0
  for (; count >= 999.5 && unit < UNITS.length - 1; unit++) count /= 1000
  return sayUnit(count, UNITS[unit], unit === 0 || count >= 99.95 ? 0 : 1)
}

export function sayTime(seconds) {
  const whole = Math.max(1, Math.round(seconds))
  const [hours, minutes] = [Math.floor(whole / 3600), Math.floor((whole % 3600) / 60)]
  if (whole < 60) return sayUnit(whole, 'second')
  if (whole < 3600) return `${sayUnit(minutes, 'minute')} ${sayUnit(whole % 60, 'second')}`
  return `${sayUnit(hours, 'hour')} ${sayUnit(minutes, 'minute')}`
}

export function sayProgress(stored, size) {
  return size === null ? text('stored', { stored: sayBytes(stored) }) : text('storedOf', { stored: sayBytes(stored), size: sayBytes(size) })
}

export function saySpeed(perSecond, left) {
  if (!perSecond) return []
  const speed = text('perSecond', { amount: sayBytes(perSecond) })
  return left === null ? [speed] : [speed, text('timeLeft', { time: sayTime(left) })]
}
