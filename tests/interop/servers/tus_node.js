// @tus/server with its file store, on a free port, which it prints: tus_node.js FOLDER
import http from 'node:http'
import { FileStore } from '@tus/file-store'
import { Server } from '@tus/server'

const server = new Server({ path: '/files', datastore: new FileStore({ directory: process.argv[2] }) })
const listening = http.createServer(server.handle.bind(server))
listening.listen(0, '127.0.0.1', () => console.log(listening.address().port))
