// Upload with tus-js-client as it comes, and tell every request: tusjs_recorded.js FILE OPTIONS
import fs from 'node:fs'
import * as tus from 'tus-js-client'
import { recording, requests } from './recorder.js'

const [path, options] = process.argv.slice(2)
const say = (line) => console.log(JSON.stringify(line))
const upload = new tus.Upload(fs.createReadStream(path), {
  ...JSON.parse(options),
  ...recording,
  onSuccess: () => say({ ok: true, requests }),
  onError: (error) => say({ ok: false, message: String(error), requests }),
})
upload.start()
