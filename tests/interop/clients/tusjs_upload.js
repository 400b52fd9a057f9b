// Upload with tus-js-client, the whole rest in one PATCH: tusjs_upload.js FILES_URL FILE SHA256
import fs from 'node:fs'
import * as tus from 'tus-js-client'

const [files, path, sha256] = process.argv.slice(2)
const say = (line) => console.log(JSON.stringify(line))
let told = false
const upload = new tus.Upload(fs.createReadStream(path), {
  endpoint: files,
  uploadSize: fs.statSync(path).size,
  metadata: { filename: 'tusjs.bin', sha256 },
  onUploadUrlAvailable: () => {
    if (!told) say({ url: upload.url })
    told = true
  },
  onSuccess: () => say({ ok: true }),
  onError: (error) => say({ ok: false, error: String(error) }),
})
upload.start()
