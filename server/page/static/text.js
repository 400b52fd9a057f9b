// The texts of the page in the language of the browser: which language that is, and how its texts, numbers and lists are
// put together. The texts themselves are in languages/, one table for each language.

const LANGUAGES = ['en', 'de', 'fr', 'es', 'zh', 'zh-Hant', 'ja', 'ar']
const RIGHT_TO_LEFT = new Set(['ar'])

// Some browsers name languages in a way that `Intl` does not take, such as `en-US@posix`.
function isTag(tag) {
  try {
    return Intl.getCanonicalLocales(tag).length === 1
  } catch {
    return false
  }
}

// Chinese has two scripts, and a tag may name one (`zh-Hant`), or a region where one is usual (`zh-TW`, `zh-HK`).
function languageOf(tag) {
  const base = tag.toLowerCase().split('-')[0]
  const isTraditional = base === 'zh' && isTag(tag) && new Intl.Locale(tag).maximize().script === 'Hant'
  return isTraditional ? 'zh-Hant' : base
}

const wanted = navigator.languages.find((tag) => LANGUAGES.includes(languageOf(tag))) ?? 'en'

export const language = languageOf(wanted)
export const locale = isTag(wanted) ? wanted : language // with its region, which decides how numbers and dates are written

const { default: texts } = await import(`./languages/${language}.js`)
const plurals = new Intl.PluralRules(locale)
const numbers = new Intl.NumberFormat(locale)
const percents = new Intl.NumberFormat(locale, { style: 'percent' })
const moments = new Intl.DateTimeFormat(locale, { dateStyle: 'medium', timeStyle: 'short' })
const choices = new Intl.ListFormat(locale, { type: 'disjunction' })

const written = (value) => (typeof value === 'number' ? numbers.format(value) : value)

// Returns a text with its placeholders filled. `count` decides about the plural.
export function text(key, values = {}) {
  const entry = texts[key]
  const form = typeof entry === 'string' ? entry : (entry[plurals.select(values.count)] ?? entry.other)
  return form.replace(/\{(\w+)\}/g, (_, name) => written(values[name]))
}

export const sayPercent = (share) => percents.format(Math.floor(share * 100) / 100)
export const sayMoment = (moment) => moments.format(moment)
export const sayChoice = (words) => choices.format(words)

// Writes the texts into what is below an element: its own, its label for screen readers, and its tooltip.
export function fill(root) {
  for (const element of root.querySelectorAll('[data-text]')) element.textContent = text(element.dataset.text)
  for (const element of root.querySelectorAll('[data-label]')) element.setAttribute('aria-label', text(element.dataset.label))
}

export function fillPage() {
  document.documentElement.lang = language
  document.documentElement.dir = RIGHT_TO_LEFT.has(language) ? 'rtl' : 'ltr'
  document.title = text('title')
  fill(document)
}
