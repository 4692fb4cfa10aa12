/* What a tunnel does with every packet, without the interpreter: decrypt all there is, bring plain DATA frames to the
   sockets of their streams, encrypt and send.  Everything else is Python's (transport/engine.py, session/session.py),
   which does the same alone where this is missing.

     Cipher    one TLS connection between memory BIOs: receive, send
     Carrier   the streams of one session whose frames without flags may be written to a descriptor at once

   OpenSSL is the one that pyOpenSSL has loaded: its functions come as addresses, nothing is linked.  Lengths are
   size_t or uint32_t; what OpenSSL takes as int is cut into pieces that fit.  Whatever is odd is left to Python: it
   sees the same bytes and judges them.  Source: docs/PROTOCOL.md, section 5.1; docs/decisions/0010-native.md. */

#define Py_LIMITED_API 0x030B0000
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <structmember.h>

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

typedef int (*take_fn)(void *, void *, int);
typedef int (*give_fn)(void *, const void *, int);
typedef int (*judge_fn)(const void *, int);
typedef void *(*view_fn)(const void *, int);
typedef void *(*make_fn)(const void *);
typedef long (*at_end_fn)(void *, int);
typedef long (*rest_fn)(void *, char **);
typedef void (*set_fn)(void *, void *, void *);
typedef int (*free_fn)(void *);

/* Another number with every change of what Python calls: hardline/native/__init__.py has the same. */
#define INTERFACE 2

enum { DONE, FULL, ENDED, FRUITLESS, BROKEN };

static const int WANT_READ = 2, ZERO_RETURN = 6; /* SSL_get_error(3) */
static const size_t RECORD = 16384;              /* the most that one SSL_read gives (RFC 8446, section 5.1) */
static const size_t STEP = 131072;               /* encrypted and written in one go: it stays in the cache */
static const size_t LARGE = 65536;               /* a write from which on other threads may run meanwhile */
static const Py_ssize_t VIEWED = 8192;           /* a piece from which on OpenSSL reads it where it is */

/* One connection. */

typedef struct {
    PyObject_HEAD
    take_fn ssl_read, bio_read;
    give_fn ssl_write, bio_write;
    judge_fn ssl_get_error;
    view_fn bio_new_mem_buf;
    make_fn bio_new;
    at_end_fn bio_at_end;
    rest_fn bio_rest;
    set_fn ssl_set_bio;
    free_fn bio_free;
    void *memory; /* what a BIO of memory is made of */
    void *ssl, *out;
    void *into;    /* the ciphertext that waits: the connection's, which Python knows no more */
    int viewed;    /* it is a view of what was received, and ends with the call */
    void *spare;   /* what it becomes then */
    Py_ssize_t fruitless;
    Py_ssize_t overhead, most_fruitless, piece;
    int result; /* of the call that went wrong */
} Cipher;

static int pointer_arg(PyObject *number, void *target)
{
    void *pointer = PyLong_AsVoidPtr(number);
    if (pointer == NULL) {
        if (!PyErr_Occurred())
            PyErr_SetString(PyExc_ValueError, "an address of 0");
        return 0;
    }
    memcpy(target, &pointer, sizeof pointer);
    return 1;
}

static int cipher_init(PyObject *object, PyObject *args, PyObject *kwargs)
{
    Cipher *self = (Cipher *)object;
    PyObject *addresses;
    if (kwargs != NULL && PyDict_Size(kwargs) > 0) {
        PyErr_SetString(PyExc_TypeError, "Cipher takes no keywords");
        return -1;
    }
    if (!PyArg_ParseTuple(args, "O!nnn", &PyTuple_Type, &addresses, &self->overhead, &self->most_fruitless, &self->piece))
        return -1;
    if (self->piece <= 0 || self->piece > 1 << 20) {
        PyErr_SetString(PyExc_ValueError, "a piece is 1 byte to 1 MiB");
        return -1;
    }
    void *targets[] = {&self->ssl_read, &self->ssl_write, &self->ssl_get_error, &self->bio_read, &self->bio_write,
                       &self->bio_new_mem_buf, &self->bio_new, &self->bio_at_end, &self->bio_rest, &self->ssl_set_bio,
                       &self->bio_free, &self->memory, &self->ssl, &self->into, &self->out};
    const Py_ssize_t count = (Py_ssize_t)(sizeof targets / sizeof *targets);
    if (PyTuple_Size(addresses) != count) {
        PyErr_Format(PyExc_ValueError, "%zd addresses", count);
        return -1;
    }
    self->fruitless = 0;
    self->viewed = 0;
    self->spare = NULL;
    for (Py_ssize_t index = 0; index < count; index++) {
        PyObject *number = PyTuple_GetItem(addresses, index);
        if (number == NULL || !PyLong_Check(number)) {
            PyErr_SetString(PyExc_TypeError, "an address is a number");
            return -1;
        }
        if (!pointer_arg(number, targets[index]))
            return -1;
    }
    return 0;
}

static int usable(Cipher *self)
{
    if (self->ssl == NULL || self->out == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "a Cipher that was not made");
        return 0;
    }
    return 1;
}

/* What TLS itself has to say, mostly nothing: a new reference to bytes. */
static PyObject *answer(Cipher *self)
{
    char some[512];
    PyObject *all = NULL;
    for (;;) {
        int count = self->bio_read(self->out, some, (int)sizeof some);
        if (count <= 0)
            return all != NULL ? all : PyBytes_FromStringAndSize(NULL, 0);
        PyObject *more = PyBytes_FromStringAndSize(some, count), *both = more;
        if (more != NULL && all != NULL) {
            both = PySequence_Concat(all, more);
            Py_DECREF(more);
        }
        Py_XDECREF(all);
        if (both == NULL)
            return NULL;
        all = both;
    }
}

/* Have OpenSSL read `count` bytes of `data` next.  All that it had it has taken.  0 where there is no memory. */
static int feed(Cipher *self, const char *data, Py_ssize_t count)
{
    if (count < VIEWED && !self->viewed)
        return self->bio_write(self->into, data, (int)count) == (int)count;
    if (self->spare == NULL && (self->spare = self->bio_new((const void *)self->memory)) == NULL)
        return 0;
    void *view = self->bio_new_mem_buf(data, (int)count);
    if (view == NULL)
        return 0;
    self->bio_at_end(view, -1); /* more may come: that is no end */
    self->ssl_set_bio(self->ssl, view, self->out); /* what was there before is freed */
    self->into = view;
    self->viewed = 1;
    return 1;
}

/* The buffer that OpenSSL reads from is everybody's again: what is left in it is copied.  0 where there is no memory. */
static int unview(Cipher *self)
{
    if (!self->viewed)
        return 1;
    char *rest = NULL;
    long count = self->bio_rest(self->into, &rest);
    int copied = count <= 0 || self->bio_write(self->spare, rest, (int)count) == (int)count;
    self->ssl_set_bio(self->ssl, self->spare, self->out); /* also without the rest: OpenSSL finds what is missing */
    self->into = self->spare;
    self->spare = NULL;
    self->viewed = 0;
    return copied;
}

PyDoc_STRVAR(feed_doc, "feed(source, start, count)\n\nTake `count` bytes of ciphertext.  See engine.Engine.feed.");

static PyObject *cipher_feed(PyObject *object, PyObject *args)
{
    Cipher *self = (Cipher *)object;
    Py_buffer source;
    Py_ssize_t start, count;
    if (!usable(self) || !PyArg_ParseTuple(args, "y*nn", &source, &start, &count))
        return NULL;
    if (start < 0 || count < 0 || count > self->piece || start > source.len - count)
        PyErr_SetString(PyExc_ValueError, "not within the buffer, or more than a piece");
    else if (self->bio_write(self->into, (const char *)source.buf + start, (int)count) != (int)count)
        PyErr_NoMemory();
    PyBuffer_Release(&source);
    if (PyErr_Occurred())
        return NULL;
    Py_RETURN_NONE;
}

PyDoc_STRVAR(receive_doc,
             "receive(source, start, end, target) -> (state, start, count, answer)\n\n"
             "Take ciphertext source[start:end] and write its plaintext to target[:count].  See engine.Engine.receive.");

static PyObject *cipher_receive(PyObject *object, PyObject *args)
{
    Cipher *self = (Cipher *)object;
    Py_buffer source, target;
    Py_ssize_t start, end;
    if (!usable(self) || !PyArg_ParseTuple(args, "y*nnw*", &source, &start, &end, &target))
        return NULL;
    int state = BROKEN;
    size_t ready = 0;
    if (start < 0 || end < start || end > source.len || target.len < (Py_ssize_t)RECORD) {
        PyErr_SetString(PyExc_ValueError, "not within the buffers");
        goto over;
    }
    for (;;) {
        size_t room = (size_t)target.len - ready;
        if (room < RECORD) {
            state = FULL;
            break;
        }
        int count = self->ssl_read(self->ssl, (char *)target.buf + ready, room > INT32_MAX ? INT32_MAX : (int)room);
        if (count > 0) {
            ready += (size_t)count;
            self->fruitless -= count + self->overhead;
            continue;
        }
        int why = self->ssl_get_error(self->ssl, count);
        if (why == ZERO_RETURN) {
            state = ENDED;
            break;
        }
        if (why != WANT_READ) {
            self->result = count;
            state = BROKEN;
            break;
        }
        if (self->fruitless < 0)
            self->fruitless = 0;
        if (self->fruitless > self->most_fruitless) {
            state = FRUITLESS;
            break;
        }
        if (start == end) {
            state = DONE;
            break;
        }
        Py_ssize_t step = end - start < self->piece ? end - start : self->piece;
        if (!feed(self, (const char *)source.buf + start, step)) {
            PyErr_NoMemory();
            goto over;
        }
        self->fruitless += step;
        start += step;
    }
over:
    if (!unview(self) && !PyErr_Occurred())
        PyErr_NoMemory();
    PyBuffer_Release(&source);
    PyBuffer_Release(&target);
    if (PyErr_Occurred())
        return NULL;
    PyObject *said = answer(self);
    return said == NULL ? NULL : Py_BuildValue("innN", state, start, (Py_ssize_t)ready, said);
}

/* write(2) as it is meant here: how much was taken, 0 when the socket is behind, -1 with errno. */
static ssize_t push(int fd, const void *data, size_t count)
{
    ssize_t taken;
    do {
        if (count >= LARGE) {
            Py_BEGIN_ALLOW_THREADS
            taken = write(fd, data, count);
            Py_END_ALLOW_THREADS
        } else
            taken = write(fd, data, count);
    } while (taken < 0 && errno == EINTR);
    return taken < 0 && (errno == EAGAIN || errno == EWOULDBLOCK) ? 0 : taken;
}

/* Bring what OpenSSL has for the wire to `fd`; what that does not take is added to `rest`.  0, or an errno. */
static int to_wire(Cipher *self, int fd, char *scratch, size_t size, size_t *produced, PyObject **rest)
{
    int failed = 0;
    for (;;) {
        int count = self->bio_read(self->out, scratch, size > INT32_MAX ? INT32_MAX : (int)size);
        if (count <= 0)
            return failed;
        *produced += (size_t)count;
        ssize_t taken = 0;
        if (fd >= 0 && *rest == NULL && !failed && (taken = push(fd, scratch, (size_t)count)) < 0) {
            failed = errno;
            continue; /* the connection is gone, and with it what was to go out */
        }
        if (failed || taken == count)
            continue;
        PyObject *more = PyBytes_FromStringAndSize(scratch + taken, count - taken);
        if (more != NULL && *rest != NULL) {
            PyObject *both = PySequence_Concat(*rest, more);
            Py_DECREF(more);
            more = both;
        }
        if (more == NULL)
            return ENOMEM;
        Py_XDECREF(*rest);
        *rest = more;
    }
}

PyDoc_STRVAR(send_doc, "send(source, count, fd, scratch) -> (produced, rest, errno)\n\n"
                       "Encrypt source[:count] and write it to `fd`.  See engine.Engine.send.");

static PyObject *cipher_send(PyObject *object, PyObject *args)
{
    Cipher *self = (Cipher *)object;
    Py_buffer source, scratch;
    Py_ssize_t count;
    int fd, failed = 0;
    if (!usable(self) || !PyArg_ParseTuple(args, "y*niw*", &source, &count, &fd, &scratch))
        return NULL;
    size_t produced = 0;
    PyObject *rest = NULL;
    if (count < 0 || count > source.len || scratch.len < (Py_ssize_t)RECORD) {
        PyErr_SetString(PyExc_ValueError, "not within the buffers");
        goto over;
    }
    for (Py_ssize_t at = 0; at < count && !failed;) {
        Py_ssize_t step = count - at < (Py_ssize_t)STEP ? count - at : (Py_ssize_t)STEP;
        int written = self->ssl_write(self->ssl, (const char *)source.buf + at, (int)step);
        if (written != (int)step) {
            self->result = written;
            failed = -1;
            break;
        }
        at += step;
        failed = to_wire(self, fd, scratch.buf, (size_t)scratch.len, &produced, &rest);
    }
over:
    PyBuffer_Release(&source);
    PyBuffer_Release(&scratch);
    if (PyErr_Occurred()) {
        Py_XDECREF(rest);
        return NULL;
    }
    if (rest == NULL) {
        rest = Py_None;
        Py_INCREF(rest);
    }
    return Py_BuildValue("nNi", (Py_ssize_t)produced, rest, failed);
}

static void cipher_dealloc(PyObject *object)
{
    Cipher *self = (Cipher *)object;
    if (self->spare != NULL)
        self->bio_free(self->spare); /* it was made, and then there was no memory for a view */
    PyTypeObject *type = Py_TYPE(object);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(object);
    Py_DECREF(type);
}

static PyMethodDef cipher_methods[] = {
    {"feed", cipher_feed, METH_VARARGS, feed_doc},
    {"receive", cipher_receive, METH_VARARGS, receive_doc},
    {"send", cipher_send, METH_VARARGS, send_doc},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef cipher_fields[] = {
    {"fruitless", T_PYSSIZET, offsetof(Cipher, fruitless), 0, "bytes taken that gave no data"},
    {"overhead", T_PYSSIZET, offsetof(Cipher, overhead), 0, "bytes of a record that are no data"},
    {"result", T_INT, offsetof(Cipher, result), READONLY, "what the call returned that went wrong"},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot cipher_slots[] = {
    {Py_tp_init, cipher_init},
    {Py_tp_dealloc, cipher_dealloc},
    {Py_tp_methods, cipher_methods},
    {Py_tp_members, cipher_fields},
    {Py_tp_doc, "Cipher(addresses, overhead, fruitless, piece)\n\n"
                "One TLS connection: addresses of C functions, of the method of memory BIOs, of it and its two BIOs.\n"
                "The one that it reads from is this object's from now on."},
    {0, NULL},
};

static PyType_Spec cipher_spec = {"hardline.native._carry.Cipher", sizeof(Cipher), 0, Py_TPFLAGS_DEFAULT, cipher_slots};

/* The streams of one session that are joined with a descriptor. */

typedef struct {
    uint32_t number;
    int fd;              /* -1: its bytes are Python's for the time being */
    uint32_t left;       /* what the peer may still send */
    uint32_t unwatched;  /* how much of that nobody has to look at */
    uint32_t announced;  /* bytes in the frames that began, in this call */
    uint32_t written;    /* bytes that its socket took, in this call */
    int touched;
    PyObject *stream;
} Entry;

typedef struct {
    PyObject_HEAD
    Entry *entries; /* by number */
    size_t count, room;
} Carrier;

static size_t place_of(Carrier *self, uint32_t number)
{
    size_t low = 0, high = self->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (self->entries[middle].number < number)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static Entry *find(Carrier *self, uint32_t number)
{
    size_t at = place_of(self, number);
    return at < self->count && self->entries[at].number == number ? &self->entries[at] : NULL;
}

/* One that is removed during `carry`, by another thread while a large write has let it in, cannot be: sessions are of
   one thread.  Entries move, so no pointer to one outlives a call into Python. */
PyDoc_STRVAR(join_doc, "join(number, stream, fd, left, unwatched)\n\n"
                       "Write DATA of stream `number` to `fd` from now on, `unwatched` bytes of it, as long as the peer\n"
                       "keeps to `left` bytes.");

static PyObject *carrier_join(PyObject *object, PyObject *args)
{
    Carrier *self = (Carrier *)object;
    unsigned long number, left, unwatched;
    int fd;
    PyObject *stream;
    if (!PyArg_ParseTuple(args, "kOikk", &number, &stream, &fd, &left, &unwatched))
        return NULL;
    if (number > UINT32_MAX || left > UINT32_MAX || unwatched > UINT32_MAX) {
        PyErr_SetString(PyExc_OverflowError, "a number of 32 bits");
        return NULL;
    }
    size_t at = place_of(self, (uint32_t)number);
    if (at == self->count || self->entries[at].number != number) {
        if (self->count == self->room) {
            size_t room = self->room ? 2 * self->room : 8;
            Entry *more = PyMem_Realloc(self->entries, room * sizeof *more);
            if (more == NULL)
                return PyErr_NoMemory();
            self->entries = more;
            self->room = room;
        }
        memmove(&self->entries[at + 1], &self->entries[at], (self->count - at) * sizeof *self->entries);
        memset(&self->entries[at], 0, sizeof *self->entries);
        self->entries[at].number = (uint32_t)number;
        self->count++;
    }
    Entry *entry = &self->entries[at];
    PyObject *before = entry->stream;
    Py_INCREF(stream);
    entry->stream = stream;
    entry->fd = fd;
    entry->left = (uint32_t)left;
    entry->unwatched = (uint32_t)unwatched;
    Py_XDECREF(before);
    Py_RETURN_NONE;
}

PyDoc_STRVAR(part_doc, "part(number)\n\nDATA of stream `number` is Python's again.");

static PyObject *carrier_part(PyObject *object, PyObject *args)
{
    Carrier *self = (Carrier *)object;
    unsigned long number;
    if (!PyArg_ParseTuple(args, "k", &number))
        return NULL;
    size_t at = number > UINT32_MAX ? self->count : place_of(self, (uint32_t)number);
    if (at < self->count && self->entries[at].number == number) {
        PyObject *stream = self->entries[at].stream;
        self->count--;
        memmove(&self->entries[at], &self->entries[at + 1], (self->count - at) * sizeof *self->entries);
        Py_XDECREF(stream);
    }
    Py_RETURN_NONE;
}

PyDoc_STRVAR(allow_doc, "allow(number, left)\n\nThe peer may send `left` bytes on stream `number` now.");

static PyObject *carrier_allow(PyObject *object, PyObject *args)
{
    Carrier *self = (Carrier *)object;
    unsigned long number, left;
    if (!PyArg_ParseTuple(args, "kk", &number, &left))
        return NULL;
    Entry *entry = number > UINT32_MAX ? NULL : find(self, (uint32_t)number);
    if (entry != NULL)
        entry->left = left > UINT32_MAX ? UINT32_MAX : (uint32_t)left;
    Py_RETURN_NONE;
}

static uint32_t big_endian(const uint8_t *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | (uint32_t)at[3];
}

/* Who got what.  Making an object may run the collector, and that anything, `part` too: so what is to be told is taken
   out of the entries first. */
static PyObject *told(Carrier *self, size_t touched, size_t at, unsigned long frames, unsigned long stream,
                      unsigned long left)
{
    struct { PyObject *whose; unsigned announced, written; } *rows = NULL;
    size_t count = 0, next = 0;
    if (touched && (rows = PyMem_Malloc(touched * sizeof *rows)) == NULL)
        return PyErr_NoMemory();
    for (size_t index = 0; count < touched && index < self->count; index++) {
        Entry *entry = &self->entries[index];
        if (!entry->touched)
            continue;
        Py_INCREF(entry->stream);
        rows[count].whose = entry->stream;
        rows[count].announced = entry->announced;
        rows[count].written = entry->written;
        count++;
        entry->touched = 0;
        entry->announced = entry->written = 0;
    }
    PyObject *carried = PyTuple_New((Py_ssize_t)count);
    for (; carried != NULL && next < count; next++) {
        PyObject *row = Py_BuildValue("NII", rows[next].whose, rows[next].announced, rows[next].written);
        if (row == NULL || PyTuple_SetItem(carried, (Py_ssize_t)next, row) < 0) {
            Py_DECREF(carried);
            carried = NULL;
        }
    }
    for (; next < count; next++)
        Py_DECREF(rows[next].whose);
    PyMem_Free(rows);
    return carried == NULL ? NULL : Py_BuildValue("nkkkN", (Py_ssize_t)at, frames, stream, left, carried);
}

PyDoc_STRVAR(carry_doc,
             "carry(data, most, stream, left) -> (offset, frames, stream, left, carried)\n\n"
             "Write the frames at the start of `data` to their sockets, `most` of them, up to the first that is not plain\n"
             "DATA of a stream that was joined.  `left` bytes of a frame of `stream` come first.  `data` from `offset` on,\n"
             "in which again `left` bytes of `stream` come first, is Python's.  `carried` are (stream, bytes of frames that\n"
             "began, bytes that its socket took) of each stream that got some.");

static PyObject *carrier_carry(PyObject *object, PyObject *args)
{
    Carrier *self = (Carrier *)object;
    Py_buffer data;
    unsigned long most, stream, left;
    if (!PyArg_ParseTuple(args, "y*kkk", &data, &most, &stream, &left))
        return NULL;
    const uint8_t *bytes = data.buf;
    size_t end = (size_t)data.len, at = 0, touched = 0;
    unsigned long frames = 0;
    for (;;) {
        if (left) {
            Entry *entry = stream > UINT32_MAX ? NULL : find(self, (uint32_t)stream);
            size_t here = end - at < left ? end - at : left;
            if (entry == NULL || entry->fd < 0 || !here || left > entry->unwatched)
                break; /* a frame that began with Python may hold more than nobody has to look at */
            ssize_t taken = push(entry->fd, bytes + at, here);
            if (taken < 0)
                taken = 0; /* Python's own write fails, too, and says why */
            if ((size_t)taken < here)
                entry->fd = -1;
            if (taken) {
                touched += !entry->touched;
                entry->touched = 1;
                entry->written += (uint32_t)taken;
                entry->unwatched -= (uint32_t)taken;
                at += (size_t)taken;
                left -= (unsigned long)taken;
            }
            if ((size_t)taken < here)
                break;
            continue;
        }
        if (end - at < 12 || frames >= most || big_endian(bytes + at) != 0)
            break; /* version 0, type DATA, no flags: four zeros */
        uint32_t number = big_endian(bytes + at + 4), length = big_endian(bytes + at + 8);
        Entry *entry = find(self, number);
        if (entry == NULL || entry->fd < 0 || length == 0 || length > entry->left || length > entry->unwatched)
            break;
        entry->left -= length;
        entry->announced += length;
        touched += !entry->touched;
        entry->touched = 1;
        stream = number;
        left = length;
        at += 12;
        frames++;
    }
    PyBuffer_Release(&data);
    return told(self, touched, at, frames, stream, left);
}

static int carrier_traverse(PyObject *object, visitproc visit, void *arg)
{
    Carrier *self = (Carrier *)object;
    Py_VISIT(Py_TYPE(object));
    for (size_t index = 0; index < self->count; index++)
        Py_VISIT(self->entries[index].stream);
    return 0;
}

static int carrier_clear(PyObject *object)
{
    Carrier *self = (Carrier *)object;
    Entry *entries = self->entries;
    size_t count = self->count;
    self->entries = NULL;
    self->count = self->room = 0;
    for (size_t index = 0; index < count; index++)
        Py_XDECREF(entries[index].stream);
    PyMem_Free(entries);
    return 0;
}

static void carrier_dealloc(PyObject *object)
{
    PyTypeObject *type = Py_TYPE(object);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    PyObject_GC_UnTrack(object);
    carrier_clear(object);
    release(object);
    Py_DECREF(type);
}

static PyMethodDef carrier_methods[] = {
    {"join", carrier_join, METH_VARARGS, join_doc},
    {"part", carrier_part, METH_VARARGS, part_doc},
    {"allow", carrier_allow, METH_VARARGS, allow_doc},
    {"carry", carrier_carry, METH_VARARGS, carry_doc},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot carrier_slots[] = {
    {Py_tp_dealloc, carrier_dealloc},
    {Py_tp_traverse, carrier_traverse},
    {Py_tp_clear, carrier_clear},
    {Py_tp_methods, carrier_methods},
    {Py_tp_doc, "Carrier()\n\nThe streams of one session that are joined with a descriptor."},
    {0, NULL},
};

static PyType_Spec carrier_spec = {"hardline.native._carry.Carrier", sizeof(Carrier), 0,
                                   Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC, carrier_slots};

static int add_type(PyObject *module, PyType_Spec *spec)
{
    PyObject *type = PyType_FromModuleAndSpec(module, spec, NULL);
    if (type == NULL)
        return -1;
    int added = PyModule_AddType(module, (PyTypeObject *)type);
    Py_DECREF(type);
    return added;
}

static int exec_module(PyObject *module)
{
    if (PyModule_AddIntConstant(module, "INTERFACE", INTERFACE) < 0 || add_type(module, &cipher_spec) < 0 || add_type(module, &carrier_spec) < 0)
        return -1;
    if (PyModule_AddIntConstant(module, "DONE", DONE) < 0 || PyModule_AddIntConstant(module, "FULL", FULL) < 0 ||
        PyModule_AddIntConstant(module, "ENDED", ENDED) < 0 || PyModule_AddIntConstant(module, "BROKEN", BROKEN) < 0)
        return -1;
    return PyModule_AddIntConstant(module, "FRUITLESS", FRUITLESS);
}

static PyModuleDef_Slot module_slots[] = {
    {Py_mod_exec, exec_module},
    {0, NULL},
};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT, "_carry", "A tunnel's packets without the interpreter.", 0, NULL, module_slots,
    NULL, NULL, NULL,
};

PyMODINIT_FUNC PyInit__carry(void)
{
    return PyModuleDef_Init(&module);
}
