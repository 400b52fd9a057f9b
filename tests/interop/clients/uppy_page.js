// A page that uploads with Uppy what its file input holds; the tests drive it by `page`.
import Uppy from '@uppy/core'
import Tus from '@uppy/tus'

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
  start(options) {
    const [file] = document.querySelector('input').files
    uppy = new Uppy().use(Tus, options)
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
  pause: () => uppy.pauseAll(),
  resume: () => uppy.resumeAll(),
  watch: (url) =>
    new Promise((resolve, reject) => {
      const socket = new WebSocket(url.replace(/^http/, 'ws') + '/progress')
      socket.onmessage = ({ data }) => resolve(JSON.parse(data))
      socket.onerror = reject
    }),
}
