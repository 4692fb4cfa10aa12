// Runs the public suite "cache-tests" as tests/cache/suite.py says, and prints what came out as JSON.
//
//     node suite.mjs PACKAGE BASE-URL
//
// The package on npm is older than the suite on GitHub, and than RFC 9111: `corrected` changes what has been decided
// otherwise since, case by case, as the newest suite has it.

import dns from 'dns'

// What a browser does by itself: names that end in .localhost are this computer.
const lookUp = dns.lookup
dns.lookup = (name, options, done) => {
  if (!name.endsWith('.localhost')) return lookUp(name, options, done)
  const all = typeof options === 'object' && options.all
  return all ? done(null, [{ address: '127.0.0.1', family: 4 }]) : done(null, '127.0.0.1', 4)
}

const [, , directory, base] = process.argv
const load = path => import(`file://${directory}/${path}`)

const suites = (await load('tests/index.mjs')).default
const { runTests, getResults } = await load('client/runner.mjs')
const fetch = (await load('../node-fetch/lib/index.mjs')).default

function find (id) {
  for (const suite of suites) {
    for (const test of suite.tests) if (test.id === id) return test
  }
  throw new Error(`no such case: ${id}`)
}

// RFC 9111, section 5.1: the first member of Age counts, and what is no number is ignored.
for (const id of ['nonnumeric', 'negative', 'float', 'prefix-twoline', 'dup-0', 'dup-0-twoline', 'dup-old']) {
  find(`age-parse-${id}`).requests[1].expected_type = 'cached'
}
for (const id of ['parameter', 'numeric-parameter']) find(`age-parse-${id}`).kind = 'check'

// RFC 9111, section 4.4: what Location and Content-Location name may be invalidated, no more than that.
for (const method of ['POST', 'PUT', 'DELETE', 'M-SEARCH']) {
  for (const of of ['location', 'cl']) find(`invalidate-${method}-${of}`).kind = 'check'
}

// Which fields a 304 updates is only asked about, but for these.
const updated = ['Test-Header', 'X-Test-Header', 'Content-Foo', 'X-Content-Foo', 'Cache-Control', 'Content-Length']
for (const test of suites.find(suite => suite.id === 'update304').tests) {
  const name = test.id.replace('304-etag-update-response-', '')
  if (name !== test.id && !updated.includes(name)) test.kind = 'check'
}

// Nothing says what a cache answers instead of what it must not use: only that it is not that.
for (const id of ['must-revalidate', 'proxy-revalidate', 'no-cache', 's-maxage=2']) {
  const request = find(`stale-close-${id}`).requests[1]
  delete request.expected_type
  Object.assign(request, {
    expected_status: 502,
    expected_response_text: null,
    expected_response_headers_missing: ['server-request-count']
  })
}

find('partial-use-stored-headers').kind = 'required'

const large = value => ({
  name: `HTTP cache should consider a response with an Age value of ${value} to be stale`,
  id: `age-parse-${value}`,
  requests: [
    { response_headers: [['Date', 0], ['Cache-Control', 'max-age=3600'], ['Age', value, false]], setup: true },
    { expected_type: 'not_cached' }
  ]
})
const understood = find('status-599-must-understand')
understood.requests[0].response_headers = [['Cache-Control', 'max-age=3600, no-store, must-understand']]

// RFC 9213: a field for caches that stand between a service and its visitors.
const cdn = (id, kind, expected, ...fields) => ({
  name: id,
  id: `cdn-${id}`,
  kind,
  requests: [
    { response_headers: fields.map(([name, value]) => [name, value, false]), setup: true, pause_after: true },
    { expected_type: expected }
  ]
})
const CDN = value => ['CDN-Cache-Control', value]
const CC = value => ['Cache-Control', value]
const later = [['Expires', 10000], ['Date', 0]]
suites.push({
  id: 'cdn-cache-control',
  name: 'CDN-Cache-Control',
  tests: [
    cdn('max-age', 'optimal', 'cached', CDN('max-age=3600')),
    cdn('max-age-max', 'optimal', 'cached', CDN('max-age=2147483648')),
    cdn('max-age-max-plus', 'optimal', 'cached', CDN('max-age=99999999999')),
    cdn('max-age-age', 'required', 'not_cached', ['Date', 0], CDN('max-age=3600'), ['Age', '7200']),
    cdn('max-age-space-before-equals', 'check', 'not_cached', CC('max-age=1'), CDN('max-age =100')),
    cdn('max-age-space-after-equals', 'check', 'not_cached', CC('max-age=1'), CDN('max-age= 100')),
    cdn('max-age-0', 'required', 'not_cached', CDN('max-age=0')),
    cdn('max-age-extension', 'optimal', 'cached', CDN('foobar, max-age=3600')),
    cdn('max-age-case-insensitive', 'check', 'cached', CDN('MaX-aGe=3600')),
    cdn('max-age-expires', 'optimal', 'cached', CDN('max-age=3600'), ['Expires', -10000], ['Date', 0]),
    cdn('max-age-cc-max-age-invalid-expires', 'optimal', 'cached', CDN('max-age=3600'), ['Expires', '0'], ['Date', 0]),
    cdn('max-age-0-expires', 'required', 'not_cached', CDN('max-age=0'), ...later),
    cdn('max-age-short-cc-max-age', 'optimal', 'cached', CC('max-age=1'), CDN('max-age=3600')),
    cdn('max-age-long-cc-max-age', 'required', 'not_cached', CC('max-age=3600'), CDN('max-age=1')),
    cdn('private', 'required', 'not_cached', CDN('private'), CC('max-age=10000'), ...later),
    cdn('no-cache', 'required', 'not_cached', CDN('no-cache'), CC('max-age=10000'), ...later),
    cdn('no-store-cc-fresh', 'required', 'not_cached', CC('max-age=10000'), CDN('no-store'), ...later),
    cdn('fresh-cc-nostore', 'required', 'cached', CC('no-store'), CDN('max-age=10000')),
    cdn('cc-invalid-sh-type-unknown', 'required', 'not_cached', CDN('max-age=10000, &&&&&'), CC('no-store')),
    cdn('cc-invalid-sh-type-wrong', 'required', 'not_cached', CDN('max-age="10000"'), CC('no-store'))
  ]
})

const soon = seconds => [['Cache-Control', `max-age=1, stale-while-revalidate=${seconds}`], ['ETag', '"abc"']]
suites.push({
  id: 'newer',
  name: 'Cases of the newest suite',
  tests: [
    {
      name: 'An optimal HTTP cache reuses a fresh response with a recognised status and no-store, must-understand',
      id: 'status-200-must-understand',
      kind: 'optimal',
      requests: [{ response_headers: [CC('max-age=3600, no-store, must-understand')], setup: true }, { expected_type: 'cached' }]
    },
    large('2147483647'),
    large('2147483648'),
    large('2147483649'),
    {
      name: 'An optimal cache serves stale stored response with stale-while-revalidate',
      id: 'stale-while-revalidate',
      kind: 'optimal',
      requests: [{ response_headers: soon(3600), setup: true, pause_after: true }, { expected_type: 'cached' }]
    },
    {
      name: 'HTTP cache must not serve stale stored response after the stale-while-revalidate window',
      id: 'stale-while-revalidate-window',
      requests: [
        { response_headers: soon(4), setup: true, pause_after: true },
        {
          response_headers: [['Cache-Control', 'no-cache', false], ['ETag', '"def"', false]],
          expected_type: 'cached',
          setup: true,
          pause_after: true
        },
        { expected_response_headers: [['client-request-count', '3']] }
      ]
    },
    {
      name: 'HTTP cache must not update the Date header field when Expires is present',
      id: 'other-date-update-expires',
      requests: [
        { response_headers: [['Expires', 2592000], ['Date', 0]], setup: true, pause_after: true },
        { expected_type: 'cached', expected_response_headers: [['Date', 0]] }
      ]
    }
  ]
})

await runTests(suites, fetch, false, base)
const results = getResults()
const cases = []
for (const suite of suites) {
  for (const test of suite.tests) {
    if (test.browser_only) continue
    const result = results[test.id]
    cases.push({ id: test.id, kind: test.kind || 'required', passed: result === true, said: result === true ? '' : result[1] })
  }
}
console.log(JSON.stringify(cases))
