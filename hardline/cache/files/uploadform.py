"""The form by which files are brought into a directory, and what makes it pleasant; without I/O.

Without the script, the form is sent as a whole.  With it each file goes by a PUT of its own, with a bar that says how
far, and times are the reader's own.
"""

from __future__ import annotations

from hardline.http.look import STYLE, content_policy, document, escaped

STYLE_OF_IT = """\
.bring{border:1px dashed var(--line);border-radius:.5rem;padding:.8rem 1rem;margin:1rem 0}
.bring.over{border-color:var(--accent)}
.bring label{display:block;color:var(--dim);font-size:.9rem;margin-bottom:.4rem}
.bring button,.find button{font:inherit;min-height:2.75rem;padding:0 1rem;border:1px solid var(--line);
border-radius:.5rem;background:var(--card);color:var(--accent)}
.bring input{font:inherit;max-width:100%;min-height:2.75rem}
.bring progress{width:100%;margin-top:.5rem}
"""

FORM = (
    '<form class=bring method=post enctype="multipart/form-data"><label for=bring>{said}</label>'
    "<input id=bring type=file name=file multiple required> <button>Bring</button>"
    "<progress hidden max=1 aria-label='How far it is'></progress><p role=status></p></form>"
)
_MAY_ADD = "Bring files here, or drop them on this: nothing that is there is replaced."
_MAY_ONLY_ADD = "Bring files here, or drop them on this: who shares this gets them, and nobody else sees them."

SCRIPT = """\
for (const time of document.querySelectorAll('time[datetime]')) {
  const moment = new Date(time.dateTime)
  const two = number => String(number).padStart(2, '0')
  time.textContent = `${moment.getFullYear()}-${two(moment.getMonth() + 1)}-${two(moment.getDate())} ` +
    `${two(moment.getHours())}:${two(moment.getMinutes())}`
  time.classList.add('here')
}
for (const utc of document.querySelectorAll('.utc')) utc.remove()
const form = document.querySelector('.bring')
if (form) {
  const input = form.querySelector('input'), bar = form.querySelector('progress')
  const status = form.querySelector('[role=status]'), button = form.querySelector('button')
  const put = (file, begin, all) => new Promise((done, failed) => {
    const request = new XMLHttpRequest()
    request.open('PUT', './' + encodeURIComponent(file.name))
    request.upload.onprogress = event => { bar.value = all ? (begin + event.loaded) / all : 1 }
    request.onerror = () => failed(Error('the connection ended'))
    request.onload = () => {
      if (request.status === 201) return done(JSON.parse(request.responseText).name)
      failed(Error(request.responseText.split('\\n')[2] || request.statusText))
    }
    request.setRequestHeader('Accept', 'text/plain')
    request.send(file)
  })
  const bring = async files => {
    const all = files.reduce((sum, file) => sum + file.size, 0), wrong = [], kept = []
    let begin = 0
    bar.removeAttribute('hidden')
    button.disabled = input.disabled = true
    for (const file of files) {
      status.textContent = `${file.name} …`
      try { kept.push(await put(file, begin, all)) } catch (failure) { wrong.push(`${file.name}: ${failure.message}`) }
      begin += file.size
    }
    bar.setAttribute('hidden', '')
    button.disabled = input.disabled = false
    form.reset()
    status.textContent = [kept.length ? `Kept: ${kept.join(', ')}.` : '', ...wrong].join(' ').trim()
    if (!wrong.length && document.querySelector('.files')) location.reload()
  }
  form.addEventListener('submit', event => { event.preventDefault(); bring([...input.files]) })
  for (const name of ['dragover', 'dragleave', 'drop']) {
    form.addEventListener(name, event => {
      event.preventDefault()
      form.classList.toggle('over', name === 'dragover')
      if (name === 'drop' && event.dataTransfer.files.length) bring([...event.dataTransfer.files])
    })
  }
}
"""

_DROP_STYLE = STYLE + STYLE_OF_IT
DROP_POLICY = content_policy(_DROP_STYLE, script=SCRIPT, forms=True)


def form(*, only_add: bool) -> str:
    """The form of a page; `only_add`: nothing is read there."""
    return FORM.format(said=_MAY_ONLY_ADD if only_add else _MAY_ADD)


def drop_page(title: str) -> str:
    """The one page of a directory into which files are only brought."""
    body = f"<h1><bdi>{escaped(title)}</bdi></h1>{form(only_add=True)}<script>{SCRIPT}</script>"
    return document(title, body, style=_DROP_STYLE)
