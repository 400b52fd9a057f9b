// A page with Uppy's Dashboard, for tests/page/beside_uppy.py.
import Uppy from '@uppy/core'
import Dashboard from '@uppy/dashboard'
import Tus from '@uppy/tus'

globalThis.done = 0

globalThis.begin = (endpoint) => {
  globalThis.uppy = new Uppy({ autoProceed: true })
    .use(Dashboard, { inline: true, target: '#place', width: '100%', height: 550, showProgressDetails: true, theme: 'auto' })
    .use(Tus, { endpoint, uploadDataDuringCreation: true })
  uppy.on('upload-success', () => (globalThis.done += 1))
}
