// Upload with tus-js-client in any of its modes: tusjs_modes.js FILES_URL FILE '{"options": …, "stream": …, "storage": …}'
// It tells each upload that it creates, then how it ended. SIGTERM aborts, SIGHUP aborts and terminates.
import fs from 'node:fs'
import { PassThrough } from 'node:stream'
import { setImmediate } from 'node:timers/promises'
import * as tus from 'tus-js-client'

const [endpoint, path, words] = process.argv.slice(2)
const { options, stream = false, storage } = JSON.parse(words)
const say = (line) => console.log(JSON.stringify(line))
const requests = []

const file = fs.createReadStream(path)
const source = stream ? file.pipe(new PassThrough()) : file
const upload = new tus.Upload(source, {
  endpoint,
  metadata: { filename: 'tusjs.bin' },
  ...(storage && { urlStorage: new tus.FileUrlStorage(storage) }),
  ...options,
  onAfterResponse: async (request, response) => {
    requests.push(`${request.getMethod()} ${response.getStatus()}`)
    if (response.getStatus() === 201) say({ created: response.getHeader('Location') })
    if (stream) source.read(0) // has an exhausted stream tell its end, for which the client waits for ever otherwise
    await setImmediate()
  },
  onSuccess: () => say({ ok: true, url: upload.url, requests }),
  onError: (error) => say({ ok: false, error: String(error), requests }),
})

process.on('SIGTERM', () => upload.abort())
process.on('SIGHUP', () => upload.abort(true))

if (storage) {
  const [previous] = await upload.findPreviousUploads()
  if (previous) upload.resumeFromPreviousUpload(previous)
}
upload.start()
