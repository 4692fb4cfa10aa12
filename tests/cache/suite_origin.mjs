// The suite's server on a port of 127.0.0.1, until it is killed: that of the package, which neither waits before it
// answers nor sends 1xx answers, with both.
//
//     node suite_origin.mjs PACKAGE PORT

import http from 'http'

const [, , directory, port] = process.argv
const load = path => import(`file://${directory}/server/${path}`)

const { configs } = await load('utils.mjs')
const handleConfig = (await load('handle-config.mjs')).default
const handleState = (await load('handle-state.mjs')).default
const handleTest = (await load('handle-test.mjs')).default

function test (segments, request, response) {
  const asked = configs.get(segments[0])?.[parseInt(request.headers['req-num']) - 1] ?? {}
  setTimeout(() => {
    for (const [status, fields = []] of asked.interim_responses ?? []) {
      if (status === 102) response.writeProcessing()
      if (status === 103) response.writeEarlyHints(Object.fromEntries(fields))
    }
    handleTest(segments, request, response)
  }, 1000 * (asked.response_pause ?? 0))
}

http.createServer((request, response) => {
  const [, what, ...segments] = new URL(request.url, 'http://localhost/').pathname.split('/')
  const handle = { config: handleConfig, state: handleState, test }[what]
  if (handle) return handle(segments, request, response)
  response.writeHead(404)
  response.end()
}).listen(port, '127.0.0.1')
