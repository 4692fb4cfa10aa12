// What the newest suite asks otherwise than the package on npm, 0.4.5, does: `newest` turns the one into the other.
//
//     cases of 0.4.5 ──▶ newest ──▶ 370 cases: without those for browsers 160 required, 105 optimal, 100 only asked about
//
// Compared case by case (id, kind, for whom, requests, expectations) with what the files of the newest suite said in
// December 2025: no difference.  Not compared, as no result depends on it: names and descriptions, which case presumes
// which, the made-up letters of bodies and field values, in 204s a body of null.

const CC = value => ['Cache-Control', value]
const DATE = ['Date', 0]
const LATER = ['Expires', 10000]
const MONTH = 30 * 86400

const copy = value => JSON.parse(JSON.stringify(value))
const first = (...fields) => ({ response_headers: fields, setup: true })
const waited = (...fields) => ({ ...first(...fields), pause_after: true })
const then = type => ({ expected_type: type })
const twice = (id, kind, type, ...fields) => ({ id, kind, requests: [waited(...fields), then(type)] })

// How answers begin that are fresh, and that become stale while the client waits.
const FRESH = [CC('max-age=100000'), DATE]
const BECOMING_STALE = [CC('max-age=2'), DATE, ['Template-A', '1']]

const REMOVED = [
  'freshness-max-age-ignore-quoted-all',
  'freshness-max-age-ignore-quoted-all-rev',
  'freshness-max-age-multiple-line',
  'freshness-max-age-multiple-directive'
]

const BEGIN_FRESH = [
  /^status-\d+-fresh$/,
  /^ccreq-(ma0|ma1|magreaterage|no-store)$/,
  /^pragma-request-/,
  /^conditional-(lm-fresh|304-etag$|etag-precedence$|etag-.*-?respond)/,
  /^headers-omit-headers-listed-in-Connection$/,
  /^invalidate-(POST|PUT|DELETE|M-SEARCH)(-failed)?$/,
  /^other-(authorization|age-gen|age-update-max-age|date-update|fresh-content-disposition-attachment|set-cookie|cookie)$/,
  /^query-args-/
]

const BEGIN_BECOMING_STALE = [
  /^stale-(close|503|warning-become)$/,
  /^ccreq-max-stale$/,
  /^conditional-(lm-stale$|etag-.*generate)/,
  /^head-/
]

const BEGIN_STALE = [/^status-\d+-stale$/, /^stale-warning-stored$/]

const REQUIRED = [/^freshness-expires-invalid-(?!date$)./, /^partial-use-stored-headers$/]
const OPTIMAL = [/^freshness-expires-(32bit|far-future|rfc850|ansi-c|wrong-case-)/]
const ASKED_ABOUT = [
  /^age-parse-(numeric-)?parameter$/, // RFC 9111, section 5.1
  /^invalidate-.*-(location|cl)$/, // section 4.4: may be invalidated, no more than that
  /^conditional-etag-vary-headers-mismatch$/,
  /^304-etag-update-response-(?!((X-)?(Test-Header|Content-Foo)|Cache-Control|Content-Length)$)/
]

// These follow a 304 now as every other field does.
const FOLLOWED = ['Content-Encoding', 'Content-MD5', 'Content-Range', 'ETag']

const is = (id, patterns) => patterns.some(pattern => pattern.test(id))

export function newest (suites) {
  for (const suite of suites) suite.tests = suite.tests.filter(test => !REMOVED.includes(test.id)).map(changed)
  const within = (id, ...tests) => suites.find(suite => suite.id === id).tests.push(...tests)
  within('cc-freshness', { id: 'freshness-max-age-stale', requests: [waited(...copy(BECOMING_STALE)), then('not_cached')] })
  within('age-parse', large('large-minus-one', 2147483647), large('large', 2147483648), large('larger', 2147483649))
  within('cc-response', overtaken('old-new', 'no-store'), overtaken('old-max-age', 'no-store, max-age=0'))
  within('stale', ...meanwhile)
  within('status', { id: 'status-200-must-understand', kind: 'optimal', requests: [understood(200, 'OK'), then('cached')] })
  within('other', ...others)
  suites.push({ id: 'cdn-cache-control', name: 'CDN-Cache-Control', tests: cdn })
  suites.push({ id: 'interim', name: 'Interim', tests: interim })
  for (const suite of suites) for (const test of suite.tests) test.name = test.name || test.id
  return suites
}

function changed (old) {
  const test = { ...old, requests: copy(old.requests) }
  const { id, requests } = test
  const [one, two, three] = requests
  if (is(id, REQUIRED)) test.kind = 'required'
  if (is(id, OPTIMAL)) test.kind = 'optimal'
  if (is(id, ASKED_ABOUT)) test.kind = 'check'
  if (is(id, BEGIN_FRESH)) begin(one, FRESH)
  if (is(id, BEGIN_BECOMING_STALE)) begin(one, BECOMING_STALE)
  if (is(id, BEGIN_STALE)) Object.assign(one, { setup: true, pause_after: true })

  if (/^(vary-|invalidate-.*-(location|cl)$)/.test(id)) {
    for (const request of requests) expiring(request)
  }
  const put = /^invalidate-(PUT|DELETE|M-SEARCH)-location$/.exec(id)
  if (put) two.request_method = put[1]
  if (REQUIRED[0].test(id)) two.expected_type = 'not_cached'

  const followed = FOLLOWED.find(name => id === `304-etag-update-response-${name}`)
  if (followed) {
    const field = request => request.response_headers.find(([name]) => name === followed)
    const value = field(two)[1]
    field(three)[1] = value
    for (const request of requests) field(request)[2] = true
    for (const request of [two, three]) request.expected_response_headers = [[followed, value]]
  }
  if (CHANGED[id]) CHANGED[id](...requests)
  return test
}

const cached = (_, two) => { two.expected_type = 'cached' }
const closed = (_, two) => {
  delete two.expected_type
  Object.assign(two, { expected_status: null, check_body: false, expected_response_headers_missing: ['server-request-count'] })
}
const age = (...values) => one => {
  one.response_headers = [...one.response_headers.filter(([name]) => name !== 'Age'), ...values.map(value => ['Age', value, false])]
}

const CHANGED = {
  // RFC 9111, section 5.1: the first member of Age counts, and what is no number is ignored.
  'age-parse-nonnumeric': cached,
  'age-parse-negative': cached,
  'age-parse-float': cached,
  'age-parse-prefix-twoline': cached,
  'age-parse-dup-0': cached,
  'age-parse-dup-0-twoline': cached,
  'age-parse-dup-old': (one, two) => { age('3600', '3600')(one); cached(one, two) },
  'age-parse-suffix': age('7200, 0'),
  'age-parse-prefix': age('0, 7200'),
  'freshness-expires-32bit': one => { one.response_headers[0][1] = 'Tue, 19 Jan 2038 14:14:08 GMT' },
  'freshness-expires-far-future': one => { one.response_headers[0][1] = 'Sun, 21 Nov 2286 04:46:39 GMT' },
  // Nothing says what a cache answers instead of what it must not use: only that it is not that.
  'stale-close-must-revalidate': closed,
  'stale-close-proxy-revalidate': closed,
  'stale-close-no-cache': closed,
  'stale-close-s-maxage=2': closed,
  'method-POST': one => { one.response_headers[0] = CC('max-age=3600') },
  'status-599-must-understand': one => { one.response_headers = understood().response_headers },
  'ccreq-no-cache-etag': one => { one.response_headers[1][1] = `"${one.response_headers[1][1]}"` },
  'pragma-response-no-cache-heuristic': one => one.response_headers.unshift(copy(DATE)),
  'vary-2-match-omit': one => one.request_headers.push(['Bar', 'abc']),
  'vary-3-order': (one, two) => {
    one.request_headers[1][1] = 'abc'
    two.request_headers = [['Foo', '1'], ['Baz', '789'], ['Bar', 'abcde']]
  },
  'conditional-etag-vary-headers-mismatch': (one, two) => {
    one.response_headers[0][1] = 10000
    delete two.expected_type
    two.expected_request_headers = [['If-None-Match', '"abcdef"']]
  }
}

function begin (request, fields) {
  const replaced = ['Expires', ...fields.map(([name]) => name)]
  const own = request.response_headers.filter(([name, value]) => !replaced.includes(name) && (name !== 'Last-Modified' || value !== 0))
  Object.assign(request, { response_headers: [...copy(fields), ...own], setup: true, pause_after: true })
}

function expiring (request) {
  request.response_headers = request.response_headers?.map(field =>
    field[0] === 'Expires' && [5000, 100000].includes(field[1]) ? CC(`max-age=${field[1]}`) : field)
  if (request.response_headers === undefined) delete request.response_headers
}

function large (id, seconds) {
  return copy(twice(`age-parse-${id}`, 'required', 'not_cached', DATE, CC('max-age=3600'), ['Age', `${seconds}`, false]))
}

function overtaken (id, said) {
  const older = waited(CC('max-age=10000'), LATER, DATE, ['A', '1'])
  const newer = waited(CC(said), DATE, ['A', '2'])
  return copy({ id: `cc-resp-no-store-${id}`, requests: [older, newer, { ...then('cached'), expected_response_headers: [['a', '1']] }] })
}

function understood (...status) {
  const request = first(CC('max-age=3600, no-store, must-understand'))
  return status.length ? { ...request, response_status: status } : request
}

// RFC 5861, section 3.
const soon = seconds => waited(CC(`max-age=1, stale-while-revalidate=${seconds}`), ['ETag', '"abc"'])
const meanwhile = [
  { id: 'stale-while-revalidate', kind: 'optimal', requests: [soon(3600), then('cached')] },
  {
    id: 'stale-while-revalidate-window',
    requests: [
      soon(4),
      { ...waited(['Cache-Control', 'no-cache', false], ['ETag', '"def"', false]), ...then('cached') },
      { expected_response_headers: [['client-request-count', '3']] }
    ]
  }
]

const long = () => waited(['Expires', MONTH], copy(DATE))
const others = [
  {
    id: 'other-age-delay',
    kind: 'check',
    requests: [{ response_headers: [CC('max-age=3600'), copy(DATE)], response_pause: 5, expected_response_headers: [['age', '>', 0]] }]
  },
  { id: 'other-date-update-expires', requests: [long(), { ...then('cached'), expected_response_headers: [copy(DATE)] }] },
  {
    id: 'other-date-update-expires-update',
    kind: 'check',
    requests: [long(), { ...then('cached'), expected_response_headers: [['Expires', MONTH]] }]
  }
]

// RFC 9213: a field for caches that stand between a service and its visitors.
const CDN = value => ['CDN-Cache-Control', value, false]
const CDN_CHECKED = value => ['CDN-Cache-Control', value]
const at = (id, kind, type, ...fields) => twice(`cdn-${id}`, kind, type, ...fields)
const once = (id, ...fields) => ({ id: `cdn-${id}`, kind: 'required', requests: [first(...fields), then('not_cached')] })
const answers = (id, field, ...fields) => ({ id: `cdn-${id}`, kind: 'check', requests: [waited(...fields), { expected_response_headers: [field] }] })
const cdn = [
  at('max-age', 'optimal', 'cached', CDN('max-age=3600')),
  at('max-age-max', 'optimal', 'cached', CDN('max-age=2147483648')),
  at('max-age-max-plus', 'optimal', 'cached', CDN('max-age=99999999999')),
  at('max-age-age', 'required', 'not_cached', DATE, CDN('max-age=3600'), ['Age', '7200']),
  at('max-age-space-before-equals', 'check', 'not_cached', CC('max-age=1'), CDN('max-age =100')),
  at('max-age-space-after-equals', 'check', 'not_cached', CC('max-age=1'), CDN('max-age= 100')),
  at('max-age-0', 'required', 'not_cached', CDN('max-age=0')),
  at('max-age-extension', 'optimal', 'cached', CDN('foobar, max-age=3600')),
  at('max-age-case-insensitive', 'check', 'cached', CDN('MaX-aGe=3600')),
  at('max-age-expires', 'optimal', 'cached', CDN('max-age=3600'), ['Expires', -10000], DATE),
  at('max-age-cc-max-age-invalid-expires', 'optimal', 'cached', CDN('max-age=3600'), ['Expires', '0', false], DATE),
  at('max-age-0-expires', 'required', 'not_cached', CDN('max-age=0'), LATER, DATE),
  at('max-age-short-cc-max-age', 'optimal', 'cached', CC('max-age=1'), CDN('max-age=3600')),
  at('max-age-long-cc-max-age', 'required', 'not_cached', CC('max-age=3600'), CDN('max-age=1')),
  once('private', CDN_CHECKED('private'), CC('max-age=10000'), LATER, DATE),
  once('no-cache', CDN_CHECKED('no-cache'), CC('max-age=10000'), LATER, DATE),
  at('no-store-cc-fresh', 'required', 'not_cached', CC('max-age=10000'), CDN('no-store'), LATER, DATE),
  at('fresh-cc-nostore', 'required', 'cached', CC('no-store'), CDN('max-age=10000')),
  at('cc-invalid-sh-type-unknown', 'required', 'not_cached', CDN('max-age=10000, &&&&&'), CC('no-store')),
  at('cc-invalid-sh-type-wrong', 'required', 'not_cached', CDN('max-age="10000"'), CC('no-store')),
  {
    id: 'cdn-remove-header',
    kind: 'check',
    requests: [{ response_headers: [CC('max-age=10000'), CDN('foo'), LATER, DATE], expected_response_headers: [['CDN-Cache-Control', 'foo']] }]
  },
  answers('remove-age-exceed', 'Age', CC('max-age=1'), CDN_CHECKED('max-age=10000'), DATE),
  answers('date-update-exceed', DATE, CC('max-age=1'), CDN_CHECKED('max-age=10000'), DATE),
  answers('expires-update-exceed', ['Expires', 1], CC('max-age=1'), ['Expires', 1], CDN_CHECKED('max-age=10000'), DATE)
].map(test => copy({ ...test, cdn_only: true }))

// RFC 9110, section 15.2: 1xx answers reach the visitor, and are no part of what is kept.
const LINK = ['link', '</styles.css>; rel=preload; as=style']
const OWN = ['x-my-header', 'test']
const hinted = (id, kind, hints, one = {}, two = {}) => copy({
  id: `interim-${id}`,
  kind,
  requests: [
    { interim_responses: hints, expected_interim_responses: hints, response_headers: FRESH, ...one, pause_after: true },
    { ...then('cached'), ...two }
  ]
})
const unseen = { expected_response_headers_missing: ['x-my-header'] }
const interim = [
  hinted('102', 'optimal', [[102]]),
  hinted('103', 'optimal', [[103, [LINK, OWN]]]),
  hinted('not-cached', 'required', [[103, [LINK]]], {}, { expected_interim_responses: [] }),
  hinted('no-header-reuse', 'optimal', [[103, [LINK, OWN]]], unseen, unseen)
]
