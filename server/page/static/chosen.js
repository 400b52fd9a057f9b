// Files and folders that were chosen, dropped or pasted, as descriptions: `name`, `path` (with the folders, for a file that
// came with a folder), `size`, `type`, `lastModified`, and the `file` itself.

const GENERIC = 'image.png' // the name that browsers give to every picture that is pasted

export function describe(file, path = file.webkitRelativePath ?? '') {
  const { name, size, type, lastModified } = file
  return { name, path, size, type, lastModified, file }
}

const readBatch = (reader) => new Promise((resolve, reject) => reader.readEntries(resolve, reject))
const openFile = (entry) => new Promise((resolve, reject) => entry.file(resolve, reject))

async function readFolder(entry) {
  const reader = entry.createReader()
  const all = []
  for (;;) {
    const batch = await readBatch(reader) // 100 entries at most; none at the end
    if (!batch.length) return all
    all.push(...batch)
  }
}

// Collects the files of an entry into `found`: `files`, and the names of `empty` folders and of what is `unreadable`.
async function collect(entry, found) {
  const path = entry.fullPath.slice(1)
  try {
    if (entry.isFile) {
      found.files.push(describe(await openFile(entry), path.includes('/') ? path : ''))
      return
    }
    const entries = await readFolder(entry)
    if (!entries.length) found.empty.push(path)
    for (const one of entries) await collect(one, found)
  } catch {
    found.unreadable.push(path)
  }
}

// Takes what was dropped or pasted; must be called during the event, because the browser forgets it afterwards.
export async function takeTransferred({ items }) {
  const found = { files: [], empty: [], unreadable: [] }
  const all = [...items].filter(({ kind }) => kind === 'file').map((item) => [item.getAsFile(), item.webkitGetAsEntry()])
  for (const [file, entry] of all) {
    if (entry?.isDirectory) await collect(entry, found)
    else if (file) found.files.push(describe(nameApart(file), ''))
  }
  return found
}

// Two pasted pictures must not have the same name.
function nameApart(file) {
  if (file.name !== GENERIC || Date.now() - file.lastModified > 1000) return file
  const moment = new Date(file.lastModified).toISOString().replace(/\D/g, '-').slice(0, 23)
  return new File([file], `image-${moment}.png`, { type: file.type, lastModified: file.lastModified })
}
