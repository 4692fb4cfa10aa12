// Runs the public suite "cache-tests" as tests/cache/suite.py says, and prints what came out as JSON.
//
//     node suite.mjs PACKAGE BASE-URL
//
// The package on npm is older than the suite on GitHub, and than RFC 9111: suite_cases.mjs makes the newest cases of
// its own, and what its client cannot do for them is done here.

import dns from 'dns'
import http from 'http'

import { newest } from './suite_cases.mjs'

// What a browser does by itself: names that end in .localhost are this computer.
const lookUp = dns.lookup
dns.lookup = (name, options, done) => {
  if (!name.endsWith('.localhost')) return lookUp(name, options, done)
  const all = typeof options === 'object' && options.all
  return all ? done(null, [{ address: '127.0.0.1', family: 4 }]) : done(null, '127.0.0.1', 4)
}

const [, , directory, base] = process.argv
const load = path => import(`file://${directory}/${path}`)

const suites = newest((await load('tests/index.mjs')).default)
const { runTests, getResults } = await load('client/runner.mjs')
const { default: fetch, Response } = await load('../node-fetch/lib/index.mjs')

const requests = new Map()
for (const suite of suites) {
  for (const test of suite.tests) test.requests.forEach((request, index) => requests.set(`${test.id} ${index + 1}`, request))
}

class Failed extends Error {
  name = 'Assertion'
}

// Fields that a case gives are sent beside those that every request has, not instead of them.
const EVERY = [['Pragma', 'foo'], ['Cache-Control', 'nothing-to-see-here']]

async function ask (url, init) {
  const field = name => init?.headers?.find(([given]) => given === name)?.[1]
  const request = requests.get(`${field('Test-ID')} ${field('Req-Num')}`)
  if (request === undefined) return fetch(url, init)
  const headers = init.headers.some(given => given[0] === 'Pragma' && given[1] === 'foo') ? init.headers : [...EVERY, ...init.headers]
  if (request.expected_interim_responses) return hear(url, headers, request.expected_interim_responses)
  const response = await fetch(url, { ...init, headers })
  if (request.expected_status === null) request.expected_status = response.status // any will do
  return response
}

// A request that listens for 1xx answers, too: exactly the expected ones, with the expected fields.
function hear (url, headers, expected) {
  return new Promise((resolve, reject) => {
    const heard = []
    const asked = http.get(url, { headers: Object.fromEntries(headers) }, async answer => {
      const data = []
      for await (const piece of answer) data.push(piece)
      if (heard.length !== expected.length) return reject(new Failed(`${heard.length} interim responses, not ${expected.length}`))
      for (const [index, [status, fields = []]] of expected.entries()) {
        const missing = fields.find(([name, value]) => heard[index].headers[name] !== value)
        if (heard[index].statusCode !== status) return reject(new Failed(`interim response ${index + 1} is ${heard[index].statusCode}`))
        if (missing) return reject(new Failed(`interim response ${index + 1} has no ${missing[0]}: ${missing[1]}`))
      }
      resolve(new Response(Buffer.concat(data), { status: answer.statusCode, headers: answer.headers }))
    })
    asked.on('information', interim => heard.push(interim))
    asked.on('error', reject)
  })
}

await runTests(suites, ask, false, base)
const results = getResults()
const cases = []
for (const suite of suites) {
  for (const { id, kind = 'required', browser_only: browsers, cdn_only: cdn = false } of suite.tests) {
    if (browsers) continue
    const result = results[id]
    cases.push({ id, kind, cdn, passed: result === true, said: result === true ? '' : result[1] })
  }
}
console.log(JSON.stringify(cases))
