// The small picture of a file: a thumbnail of an image that is at hand, or an icon for its kind. Thumbnails are made one
// after the other, and only for rows that are drawn.

const HEIGHT = 80 // px; shown at half of that, for sharp screens
const LARGEST = 30e6 // bytes
const KINDS = [
  [/^image\//, /\.(heic|psd|svg|raw)$/i, 'image'],
  [/^video\//, /\.(mkv|mov|avi)$/i, 'video'],
  [/^audio\//, /\.(flac|ogg|m4a)$/i, 'audio'],
  [/zip|compressed|x-tar|gzip/, /\.(zip|gz|tar|tgz|7z|rar|xz|zst|iso)$/i, 'archive'],
  [/^text\/|pdf|document|sheet|presentation|msword/, /\.(txt|md|pdf|docx?|odt|xlsx?|csv|ods|pptx?)$/i, 'text'],
]

let last = Promise.resolve()

function kindOf({ type, name }) {
  const [, , kind] = KINDS.find(([types, names]) => types.test(type) || names.test(name)) ?? [null, null, 'other']
  return kind
}

async function draw(holder, file) {
  const image = await createImageBitmap(file, { resizeHeight: HEIGHT, resizeQuality: 'medium' })
  const canvas = document.createElement('canvas')
  canvas.width = canvas.height = HEIGHT
  canvas.getContext('2d').drawImage(image, (HEIGHT - image.width) / 2, 0)
  image.close()
  holder.replaceChildren(canvas)
}

export function paintPicture(holder, { type, name, size }, file) {
  holder.querySelector('use').setAttribute('href', `#kind-${kindOf({ type, name })}`)
  if (!file || !type.startsWith('image/') || size > LARGEST) return
  last = last.then(() => draw(holder, file)).catch(() => {}) // a browser can't decode every image: the icon stays
}
