// A page that uploads what its file input holds, with Uppy or with tus-js-client alone; the tests drive it by `page`.
import Uppy from '@uppy/core'
import Tus from '@uppy/tus'
import * as tus from 'tus-js-client'
import { recording, requests } from './recorder.js'

const later = () => {
  let tell
  return [new Promise((resolve) => (tell = resolve)), tell]
}
const [url, tellUrl] = later()
const [end, tellEnd] = later()
let uppy

globalThis.page = {
  url,
  end,
  requests,
  start(options) {
    const [file] = document.querySelector('input').files
    uppy = new Uppy().use(Tus, { ...options, ...recording })
    uppy.on('upload-progress', ({ tus }) => tus?.uploadUrl && tellUrl(tus.uploadUrl))
    uppy.on('upload-success', (_, { uploadURL, body: { xhr } }) =>
      tellEnd({ ok: true, url: uploadURL, digest: xhr.getResponseHeader('Repr-Digest') }),
    )
    uppy.on('upload-error', (_, { message }, answer) =>
      tellEnd({ ok: false, message, status: answer?.status, body: answer?.body.xhr.responseText }),
    )
    uppy.addFile({ name: file.name, type: file.type, data: file })
    uppy.upload()
  },
  startAlone(options) {
    const [file] = document.querySelector('input').files
    const upload = new tus.Upload(file, {
      ...options,
      ...recording,
      onProgress: () => upload.url && tellUrl(upload.url),
      onSuccess: () => tellEnd({ ok: true, url: upload.url }),
      onError: (error) => tellEnd({ ok: false, message: String(error) }),
    })
    upload.start()
  },
  pause: () => uppy.pauseAll(),
  resume: () => uppy.resumeAll(),
  watch: (url) =>
    new Promise((resolve, reject) => {
      const socket = new WebSocket(url.replace(/^http/, 'ws') + '/progress')
      socket.onmessage = ({ data }) => resolve(JSON.parse(data))
      socket.onerror = reject
    }),
}
