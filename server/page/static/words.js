// Sizes, rates and times in words.

const GAP = '\u00a0' // keeps a number and its unit on one line
const UNITS = ['bytes', 'kB', 'MB', 'GB', 'TB', 'PB']

export function sayBytes(count) {
  let unit = 0
  for (; count >= 999.5 && unit < UNITS.length - 1; unit++) count /= 1000
  const digits = unit === 0 || count >= 99.95 ? 0 : 1
  return `${count.toFixed(digits)}${GAP}${count === 1 && unit === 0 ? 'byte' : UNITS[unit]}`
}

export function sayTime(seconds) {
  const whole = Math.max(1, Math.round(seconds))
  if (whole < 60) return `${whole}${GAP}s`
  if (whole < 3600) return `${Math.floor(whole / 60)}${GAP}min ${whole % 60}${GAP}s`
  return `${Math.floor(whole / 3600)}${GAP}h ${Math.floor((whole % 3600) / 60)}${GAP}min`
}

export function sayProgress(stored, size) {
  return size === null ? `${sayBytes(stored)} stored` : `${sayBytes(stored)} of ${sayBytes(size)} stored`
}

export function saySpeed(perSecond, left) {
  if (!perSecond) return []
  return [`${sayBytes(perSecond)}/s`, ...(left === null ? [] : [`${sayTime(left)}${GAP}left`])]
}
