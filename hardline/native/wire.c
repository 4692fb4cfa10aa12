/* A TLS connection's socket: the base of tls.TlsStream.

     socket ── get_buffer, buffer_updated ──▶ decrypted ──▶ box_take, for the session that is linked

   Without a session and at the end of a burst `took_in` of Python's has it, and `went_on` whatever OpenSSL says other
   than data. */

#include "carry.h"

PyDoc_STRVAR(get_buffer_doc, "get_buffer(sizehint) -> memoryview\n\nSee asyncio.BufferedProtocol.");

static PyObject *wire_get_buffer(PyObject *object, PyObject *hint)
{
    Wire *self = (Wire *)object;
    (void)hint;
    if (self->view == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "a Wire that was not made");
        return NULL;
    }
    KEEP(self->view);
    return self->view;
}

static PyObject *in_python(PyObject *object, Py_ssize_t count)
{
    return call(object, names.took_in, "(n)", count);
}

/* All of what came is decrypted and passed on, or it is said where Python has to go on: 0, or -1. */
static int pull(Wire *self, Py_ssize_t count)
{
    Py_buffer source, target;
    Py_ssize_t start = 0;
    size_t ready = 0;
    if (PyObject_GetBuffer(self->received, &source, PyBUF_SIMPLE) < 0)
        return -1;
    if (PyObject_GetBuffer(self->plain, &target, PyBUF_WRITABLE) < 0) {
        PyBuffer_Release(&source);
        return -1;
    }
    int failed = -1, state = NO_MEMORY;
    PyObject *answer = NULL, *view = self->plain_view;
    KEEP(view);
    if (count > source.len || target.len < RECORD)
        PyErr_SetString(PyExc_ValueError, "not within the buffers");
    else if ((state = cipher_pull(self->cipher, source.buf, &start, count, target.buf, (size_t)target.len, &ready)) ==
             NO_MEMORY)
        PyErr_NoMemory();
    else if (state == BROKEN)
        failed = tell((PyObject *)self, names.pull_failed, NULL);
    else if ((answer = cipher_answer(self->cipher)) == NULL)
        failed = -1;
    else if (state == DONE && PyBytes_Size(answer) == 0)
        failed = ready ? box_take(self->box, view, target.buf, ready) : 0;
    else
        failed = tell((PyObject *)self, names.went_on, "(innnO)", state, start, count, (Py_ssize_t)ready, answer);
    DROP(answer);
    DROP(view);
    PyBuffer_Release(&target);
    PyBuffer_Release(&source);
    return failed;
}

PyDoc_STRVAR(buffer_updated_doc, "buffer_updated(nbytes)\n\nSee asyncio.BufferedProtocol.");

static PyObject *wire_buffer_updated(PyObject *object, PyObject *number)
{
    Wire *self = (Wire *)object;
    Py_ssize_t count = PyLong_AsSsize_t(number);
    if (count == -1 && PyErr_Occurred())
        return NULL;
    if (count < 0) {
        PyErr_SetString(PyExc_ValueError, "less than nothing");
        return NULL;
    }
    if (self->box == NULL || !self->direct || !self->box->ready || self->box->session == NULL ||
        count >= BURST || self->burst >= BURST - count)
        return in_python(object, count);
    self->burst += count;
    Box *box = self->box;
    Cipher *cipher = self->cipher;
    KEEP(box); /* whatever happens to the session meanwhile */
    KEEP(cipher);
    int failed = pull(self, count);
    DROP(cipher);
    DROP(box);
    if (failed)
        return NULL;
    Py_RETURN_NONE;
}

PyDoc_STRVAR(link_doc, "link(box, cipher, sizes, received, plain, plain_view, scratch)\n\n"
                       "What comes is decrypted by `cipher`, from `received` to `plain`, for the session of `box`.");

static PyObject *wire_link(PyObject *object, PyObject *args)
{
    Wire *self = (Wire *)object;
    PyObject *box, *cipher, *sizes, *received, *plain, *plain_view, *scratch;
    if (!PyArg_ParseTuple(args, "O!O!O!O!O!OO!", types.box, &box, types.cipher, &cipher, types.sizes, &sizes, &PyByteArray_Type, &received,
                          &PyByteArray_Type, &plain, &plain_view, &PyByteArray_Type, &scratch))
        return NULL;
    if (self->box != NULL || !cipher_usable((Cipher *)cipher) || !PyMemoryView_Check(plain_view)) {
        if (!PyErr_Occurred())
            PyErr_SetString(PyExc_ValueError, "linked already, or no memoryview");
        return NULL;
    }
    KEEP(box);
    KEEP(cipher);
    KEEP(sizes);
    KEEP(received);
    KEEP(plain);
    KEEP(plain_view);
    KEEP(scratch);
    self->box = (Box *)box;
    self->cipher = (Cipher *)cipher;
    self->sizes = (Sizes *)sizes;
    self->received = received;
    self->plain = plain;
    self->plain_view = plain_view;
    self->scratch = scratch;
    self->direct = 1;
    Py_RETURN_NONE;
}

static void let_go(Wire *self)
{
    self->direct = 0;
    Py_CLEAR(self->box);
    Py_CLEAR(self->cipher);
    Py_CLEAR(self->sizes);
    Py_CLEAR(self->received);
    Py_CLEAR(self->plain);
    Py_CLEAR(self->plain_view);
    Py_CLEAR(self->scratch);
}

PyDoc_STRVAR(part_doc, "part()\n\nAll is Python's again.  Idempotent.");

static PyObject *wire_part(PyObject *object, PyObject *Py_UNUSED(nothing))
{
    let_go((Wire *)object);
    Py_RETURN_NONE;
}

static int wire_traverse(PyObject *object, visitproc visit, void *arg)
{
    Wire *self = (Wire *)object;
    Py_VISIT(Py_TYPE(object));
    Py_VISIT(self->transport);
    Py_VISIT(self->view);
    Py_VISIT(self->box);
    Py_VISIT(self->cipher);
    Py_VISIT(self->sizes);
    Py_VISIT(self->plain_view);
    return 0;
}

static int wire_clear(PyObject *object)
{
    Wire *self = (Wire *)object;
    Py_CLEAR(self->transport);
    Py_CLEAR(self->view);
    let_go(self);
    return 0;
}

static void wire_dealloc(PyObject *object)
{
    PyTypeObject *type = Py_TYPE(object);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    PyObject_GC_UnTrack(object);
    wire_clear(object);
    release(object);
    DROP(type);
}

static PyMethodDef wire_methods[] = {
    {"get_buffer", wire_get_buffer, METH_O, get_buffer_doc},
    {"buffer_updated", wire_buffer_updated, METH_O, buffer_updated_doc},
    {"link", wire_link, METH_VARARGS, link_doc},
    {"part", wire_part, METH_NOARGS, part_doc},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef wire_fields[] = {
    {"written", T_LONGLONG, offsetof(Wire, written), 0, "bytes of ciphertext given to the socket, sent or not"},
    {"burst", T_LONGLONG, offsetof(Wire, burst), 0, "bytes read since others had their turn"},
    {"fd", T_INT, offsetof(Wire, fd), 0, "the socket's descriptor, or -1"},
    {"blocked", T_BOOL, offsetof(Wire, blocked), 0, "the kernel did not take everything yet"},
    {"direct", T_BOOL, offsetof(Wire, direct), 0, "it is linked, and nothing has ended or failed"},
    {"transport", T_OBJECT, offsetof(Wire, transport), 0, "the event loop's, or None"},
    {"view", T_OBJECT, offsetof(Wire, view), 0, "where ciphertext is read to"},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot wire_slots[] = {
    {Py_tp_dealloc, wire_dealloc},
    {Py_tp_traverse, wire_traverse},
    {Py_tp_clear, wire_clear},
    {Py_tp_methods, wire_methods},
    {Py_tp_members, wire_fields},
    {Py_tp_doc, "A TLS connection's socket."},
    {0, NULL},
};

PyType_Spec wire_spec = {"hardline.native._carry.Wire", sizeof(Wire), 0,
                         Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC, wire_slots};
