/* One TLS connection between memory BIOs: decrypt all there is, encrypt and write.

   OpenSSL is the one that pyOpenSSL has loaded: its functions come as addresses, nothing is linked.  Lengths are
   size_t or Py_ssize_t; what OpenSSL takes as int is cut into pieces that fit. */

#include "carry.h"

#include <errno.h>
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
typedef void (*clear_fn)(void);

static const int WANT_READ = 2, ZERO_RETURN = 6; /* SSL_get_error(3) */
static const size_t STEP = 131072;               /* encrypted and written in one go: it stays in the cache */
static const size_t LARGE = 65536;               /* a write from which on other threads may run meanwhile */
static const Py_ssize_t VIEWED = 8192;           /* a piece from which on OpenSSL reads it where it is */

struct Cipher {
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
    clear_fn err_clear_error;
    PyObject *owner; /* of all that the pointers below are of: OpenSSL frees it no sooner than this */
    void *memory; /* what a BIO of memory is made of */
    void *ssl, *out;
    void *into;    /* the ciphertext that waits: the connection's, which Python knows no more */
    int viewed;    /* it is a view of what was received, and ends with the call */
    void *spare;   /* what it becomes then */
    Py_ssize_t fruitless;
    Py_ssize_t overhead, most_fruitless, piece;
    int result; /* of the call that went wrong */
};

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
    PyObject *addresses, *owner;
    if (self->owner != NULL) {
        PyErr_SetString(PyExc_RuntimeError, "a Cipher is made once");
        return -1;
    }
    if (kwargs != NULL && PyDict_Size(kwargs) > 0) {
        PyErr_SetString(PyExc_TypeError, "Cipher takes no keywords");
        return -1;
    }
    if (!PyArg_ParseTuple(args, "O!nnnO!", &PyTuple_Type, &addresses, &self->overhead, &self->most_fruitless,
                          &self->piece, &PyTuple_Type, &owner))
        return -1;
    if (self->piece <= 0 || self->piece > 1 << 20) {
        PyErr_SetString(PyExc_ValueError, "a piece is 1 byte to 1 MiB");
        return -1;
    }
    void *targets[] = {&self->ssl_read, &self->ssl_write, &self->ssl_get_error, &self->bio_read, &self->bio_write,
                       &self->bio_new_mem_buf, &self->bio_new, &self->bio_at_end, &self->bio_rest, &self->ssl_set_bio,
                       &self->bio_free, &self->err_clear_error, &self->memory, &self->ssl, &self->into, &self->out};
    const Py_ssize_t count = (Py_ssize_t)(sizeof targets / sizeof *targets);
    if (PyTuple_Size(addresses) != count) {
        PyErr_Format(PyExc_ValueError, "%zd addresses", count);
        return -1;
    }
    for (Py_ssize_t index = 0; index < count; index++) {
        PyObject *number = PyTuple_GetItem(addresses, index);
        if (number == NULL || !PyLong_Check(number)) {
            PyErr_SetString(PyExc_TypeError, "an address is a number");
            return -1;
        }
        if (!pointer_arg(number, targets[index]))
            return -1;
    }
    KEEP(owner);
    self->owner = owner;
    return 0;
}

int cipher_usable(Cipher *self)
{
    if (self->owner == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "a Cipher that was not made");
        return 0;
    }
    return 1;
}

/* What TLS itself has to say, mostly nothing: a new reference to bytes. */
PyObject *cipher_answer(Cipher *self)
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

/* Have OpenSSL read `count` bytes of `data` next, behind what it has.  0 where there is no memory. */
static int feed(Cipher *self, const char *data, Py_ssize_t count)
{
    char *rest = NULL;
    int copies = count < VIEWED && !self->viewed;
    if (!copies && self->bio_rest(self->into, &rest) > 0) { /* it goes on to the end, SSL_MODE_AUTO_RETRY; not here */
        if (!unview(self))
            return 0;
        copies = 1;
    }
    if (copies)
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

PyDoc_STRVAR(feed_doc, "feed(source, start, count)\n\nTake `count` bytes of ciphertext.  See engine.Engine.feed.");

static PyObject *cipher_feed(PyObject *object, PyObject *args)
{
    Cipher *self = (Cipher *)object;
    Py_buffer source;
    Py_ssize_t start, count;
    if (!cipher_usable(self) || !PyArg_ParseTuple(args, "y*nn", &source, &start, &count))
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

/* Take ciphertext source[*start:end] and write its plaintext to `target`: where it has come to, how much there is, and
   how it stands.  `source` is not looked at any more when it returns. */
int cipher_pull(Cipher *self, const char *source, Py_ssize_t *start, Py_ssize_t end, char *target, size_t size,
                size_t *ready)
{
    int state;
    *ready = 0;
    self->err_clear_error(); /* before OpenSSL 4, what others left there was taken for this connection's */
    for (;;) {
        size_t room = size - *ready;
        if (room < RECORD) {
            state = FULL;
            break;
        }
        int count = self->ssl_read(self->ssl, target + *ready, room > INT32_MAX ? INT32_MAX : (int)room);
        if (count > 0) {
            *ready += (size_t)count;
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
        if (*start == end) {
            state = DONE;
            break;
        }
        Py_ssize_t step = end - *start < self->piece ? end - *start : self->piece;
        if (!feed(self, source + *start, step)) {
            state = NO_MEMORY;
            break;
        }
        self->fruitless += step;
        *start += step;
    }
    return unview(self) ? state : NO_MEMORY;
}

PyDoc_STRVAR(receive_doc,
             "receive(source, start, end, target) -> (state, start, count, answer)\n\n"
             "Take ciphertext source[start:end] and write its plaintext to target[:count].  See engine.Engine.receive.");

static PyObject *cipher_receive(PyObject *object, PyObject *args)
{
    Cipher *self = (Cipher *)object;
    Py_buffer source, target;
    Py_ssize_t start, end;
    if (!cipher_usable(self) || !PyArg_ParseTuple(args, "y*nnw*", &source, &start, &end, &target))
        return NULL;
    int state = BROKEN;
    size_t ready = 0;
    if (start < 0 || end < start || end > source.len || target.len < RECORD)
        PyErr_SetString(PyExc_ValueError, "not within the buffers");
    else if ((state = cipher_pull(self, source.buf, &start, end, target.buf, (size_t)target.len, &ready)) == NO_MEMORY)
        PyErr_NoMemory();
    PyBuffer_Release(&source);
    PyBuffer_Release(&target);
    if (PyErr_Occurred())
        return NULL;
    PyObject *said = cipher_answer(self);
    return said == NULL ? NULL : Py_BuildValue("innN", state, start, (Py_ssize_t)ready, said);
}

/* write(2) as it is meant here: how much was taken, 0 when the socket is behind, -1 with errno. */
ssize_t write_some(int fd, const void *data, size_t count)
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
        if (fd >= 0 && *rest == NULL && !failed && (taken = write_some(fd, scratch, (size_t)count)) < 0) {
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

/* Encrypt source[:count] and write it to `fd`, -1 for none.  `produced` bytes of ciphertext that were, of which `rest`
   was not taken (NULL for nothing).  0, an errno of the write, or -1: TLS refuses. */
int cipher_push(Cipher *self, const char *source, Py_ssize_t count, int fd, char *scratch, size_t size,
                size_t *produced, PyObject **rest)
{
    int failed = 0;
    self->err_clear_error();
    for (Py_ssize_t at = 0; at < count && !failed;) {
        Py_ssize_t step = count - at < (Py_ssize_t)STEP ? count - at : (Py_ssize_t)STEP;
        int written = self->ssl_write(self->ssl, source + at, (int)step);
        if (written != (int)step) {
            self->result = written;
            return -1;
        }
        at += step;
        failed = to_wire(self, fd, scratch, size, produced, rest);
    }
    return failed;
}

PyDoc_STRVAR(send_doc, "send(source, count, fd, scratch) -> (produced, rest, errno)\n\n"
                       "Encrypt source[:count] and write it to `fd`.  See engine.Engine.send.");

static PyObject *cipher_send(PyObject *object, PyObject *args)
{
    Cipher *self = (Cipher *)object;
    Py_buffer source, scratch;
    Py_ssize_t count;
    int fd, failed = 0;
    if (!cipher_usable(self) || !PyArg_ParseTuple(args, "y*niw*", &source, &count, &fd, &scratch))
        return NULL;
    size_t produced = 0;
    PyObject *rest = NULL;
    if (count < 0 || count > source.len || scratch.len < RECORD)
        PyErr_SetString(PyExc_ValueError, "not within the buffers");
    else
        failed = cipher_push(self, source.buf, count, fd, scratch.buf, (size_t)scratch.len, &produced, &rest);
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

/* Nothing is cleared: who still has this, in a circle that is being taken apart, has a connection. */
static int cipher_traverse(PyObject *object, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(object));
    Py_VISIT(((Cipher *)object)->owner);
    return 0;
}

static void cipher_dealloc(PyObject *object)
{
    Cipher *self = (Cipher *)object;
    PyObject_GC_UnTrack(object);
    if (self->spare != NULL)
        self->bio_free(self->spare); /* it was made, and then there was no memory for a view */
    DROP(self->owner);
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
    {Py_tp_traverse, cipher_traverse},
    {Py_tp_methods, cipher_methods},
    {Py_tp_members, cipher_fields},
    {Py_tp_doc, "Cipher(addresses, overhead, fruitless, piece, owner)\n\n"
                "One TLS connection: addresses of C functions, of the method of memory BIOs, of it and its two BIOs.\n"
                "The one that it reads from is this object's from now on; the tuple `owner` keeps the others alive."},
    {0, NULL},
};

PyType_Spec cipher_spec = {"hardline.native._carry.Cipher", sizeof(Cipher), 0,
                           Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC, cipher_slots};

