/* A stream and the socket that it is joined with: the base of joint.Joint, and of whatever else brings frames to a
   socket.

     socket ── get_buffer, buffer_updated ──▶ the session's staging buffer, behind the place of a frame's header
     socket ◀── frames, as carrying.c finds them

   What is not as it mostly is goes to the method of Python's that does all of it, with nothing done yet: `room_for` and
   `took` for the socket's bytes, `bring` for the peer's. */

#include "carry.h"

#include <string.h>

/* Whether the session's buffer takes what this socket says, without anybody looking. */
static int flows(Lane *self)
{
    return self->box != NULL && !self->brake->reasons && !self->ways->local_ended && self->ways->announced &&
           box_may_fill(self->box) && self->box->fill >= 0 && self->box->fill < STAGING - HEADER;
}

/* Whether `count` bytes that it has said, at the place that it was given, are a frame. */
static int fits(Lane *self, long long count)
{
    return flows(self) && count > 0 && count <= self->ways->send_window && has(self->box->staging) &&
           count <= STAGING - HEADER - self->box->fill;
}

static long long least(long long one, long long other)
{
    return one < other ? one : other;
}

PyDoc_STRVAR(get_buffer_doc, "get_buffer(sizehint) -> memoryview\n\nSee asyncio.BufferedProtocol.");

static PyObject *lane_get_buffer(PyObject *object, PyObject *hint)
{
    Lane *self = (Lane *)object;
    (void)hint;
    if (!flows(self))
        return PyObject_CallMethodObjArgs(object, names.room_for, NULL);
    Box *box = self->box;
    if (!has(box->staging)) {
        KEEP(box); /* whatever happens to the session meanwhile */
        PyObject *staging = PyObject_CallObject(box->take_staging, NULL);
        if (staging != NULL) {
            PyObject *before = box->staging;
            box->staging = staging;
            DROP(before);
        }
        int still = self->box == box && flows(self) && has(box->staging);
        DROP(box);
        if (staging == NULL)
            return NULL;
        if (!still)
            return PyObject_CallMethodObjArgs(object, names.room_for, NULL);
    }
    long long start = box->fill + HEADER;
    long long share = box->share - (self->use->turn == box->turn ? self->use->used : 0);
    long long room = least(least(self->ways->send_window, STAGING - start), share);
    PyObject *staging = box->staging;
    KEEP(staging);
    PyObject *view = PyObject_GetAttr(staging, names.view);
    DROP(staging);
    PyObject *place = view == NULL ? NULL : slice_of(view, (size_t)start, (size_t)(start + (room > 0 ? room : 1)));
    DROP(view);
    if (place == NULL)
        return NULL;
    PyObject *before = self->place;
    KEEP(place);
    self->place = place;
    DROP(before);
    return place;
}

static void big_endian(uint8_t *at, uint32_t number)
{
    at[0] = (uint8_t)(number >> 24);
    at[1] = (uint8_t)(number >> 16);
    at[2] = (uint8_t)(number >> 8);
    at[3] = (uint8_t)number;
}

/* `count` bytes are behind the place of their header: send them, as outbox.Outbox.commit.  0, or -1. */
static int commit(Lane *self, long long count)
{
    Box *box = self->box;
    Py_buffer staging;
    if (buffer_of(box->staging, &staging, PyBUF_WRITABLE) < 0)
        return -1;
    if (!fits(self, count) || self->box->fill > staging.len - HEADER - count) {
        PyBuffer_Release(&staging);
        PyErr_SetString(PyExc_ValueError, "not within the staging buffer");
        return -1;
    }
    box = self->box; /* whatever Python did to give its buffer */
    uint8_t *at = (uint8_t *)staging.buf + box->fill;
    big_endian(at, 0); /* version 0, type DATA, no flags */
    big_endian(at + 4, self->number);
    big_endian(at + 8, (uint32_t)count);
    PyBuffer_Release(&staging);
    self->ways->send_window -= count;
    box->fill += HEADER + count;
    box->sent += count;
    if (self->use->turn != box->turn) {
        self->use->turn = box->turn;
        self->use->used = 0;
        box->senders++;
    }
    self->use->used += count;
    Use *use = self->use;
    Ways *ways = self->ways;
    KEEP(box); /* whatever happens to the session in what follows */
    KEEP(use);
    KEEP(ways);
    int failed = box->fill >= FLUSH_AT ? box_flush(box) : box_schedule(box);
    int goes_on = ways->send_window > 0 && !box->wire->blocked && use->used < box->share;
    DROP(box);
    DROP(use);
    DROP(ways);
    return failed < 0 ? -1 : goes_on ? 0 : tell((PyObject *)self, names.wait_for_room, NULL);
}

PyDoc_STRVAR(buffer_updated_doc, "buffer_updated(nbytes)\n\nSee asyncio.BufferedProtocol.");

static PyObject *lane_buffer_updated(PyObject *object, PyObject *number)
{
    Lane *self = (Lane *)object;
    long long count = PyLong_AsLongLong(number);
    if (count == -1 && PyErr_Occurred())
        return NULL;
    if (!fits(self, count) || !has(self->place))
        return PyObject_CallMethodObjArgs(object, names.took, number, NULL);
    PyObject *place = self->place; /* who keeps it would keep a buffer that all share */
    self->place = NULL;
    self->moved += count;
    if (has(self->gate)) {
        PyObject *piece = slice_of(place, 0, (size_t)count), *gate = self->gate;
        KEEP(gate);
        PyObject *passed = piece == NULL ? NULL : PyObject_CallMethodObjArgs(gate, names.asked, piece, NULL);
        int whole = passed == piece;
        DROP(gate);
        DROP(place);
        DROP(piece);
        if (passed != NULL && whole && fits(self, count))
            DROP(passed);
        else {
            PyObject *told = passed == NULL ? NULL
                             : whole        ? call(object, names.passed, "(L)", count)
                                            : PyObject_CallMethodObjArgs(object, names.withheld, passed, NULL);
            DROP(passed);
            return told;
        }
    } else
        DROP(place);
    if (commit(self, count) < 0)
        return NULL;
    Py_RETURN_NONE;
}

PyDoc_STRVAR(link_doc, "link(box, number, stream, ways, window, brake)\n\n"
                       "C may carry stream `number` of `box`, both ways, by what these count, until `part`.");

static PyObject *lane_link(PyObject *object, PyObject *args)
{
    Lane *self = (Lane *)object;
    PyObject *box, *use, *ways, *window, *brake;
    unsigned long number;
    if (!PyArg_ParseTuple(args, "O!kO!O!O!O!", types.box, &box, &number, types.use, &use, types.ways, &ways,
                          types.window, &window, types.reasons, &brake))
        return NULL;
    if (number > UINT32_MAX || self->box != NULL) {
        PyErr_SetString(PyExc_ValueError, "not a stream's number, or linked already");
        return NULL;
    }
    self->number = (uint32_t)number;
    if (box_insert((Box *)box, self) < 0)
        return NULL;
    KEEP(box);
    KEEP(use);
    KEEP(ways);
    KEEP(window);
    KEEP(brake);
    self->box = (Box *)box;
    self->use = (Use *)use;
    self->ways = (Ways *)ways;
    self->window = (Window *)window;
    self->brake = (Reasons *)brake;
    self->fd = -1;
    self->unwatched = 0;
    self->stale = 1;
    Py_RETURN_NONE;
}

void lane_let_go(Lane *self)
{
    Box *box = self->box;
    Use *use = self->use;
    Ways *ways = self->ways;
    Window *window = self->window;
    Reasons *brake = self->brake;
    self->box = NULL;
    self->use = NULL;
    self->ways = NULL;
    self->window = NULL;
    self->brake = NULL;
    self->fd = -1;
    DROP(use);
    DROP(ways);
    DROP(window);
    DROP(brake);
    DROP(box);
}

PyDoc_STRVAR(part_doc, "part()\n\nAll is Python's again.  Idempotent.");

static PyObject *lane_part(PyObject *object, PyObject *Py_UNUSED(nothing))
{
    Lane *self = (Lane *)object;
    KEEP(object);
    if (self->box != NULL)
        box_remove(self->box, self->number);
    lane_let_go(self);
    DROP(object);
    Py_RETURN_NONE;
}

PyDoc_STRVAR(offer_doc, "offer(fd, unwatched)\n\n"
                        "`unwatched` bytes that come next may go to `fd`; -1 for none, until the next offer.");

static PyObject *lane_offer(PyObject *object, PyObject *args)
{
    Lane *self = (Lane *)object;
    int fd;
    long long unwatched;
    if (!PyArg_ParseTuple(args, "iL", &fd, &unwatched))
        return NULL;
    self->fd = self->box != NULL && fd >= 0 ? fd : -1;
    self->unwatched = unwatched > 0 ? unwatched : 0;
    self->stale = 0;
    Py_RETURN_NONE;
}

static PyObject *lane_linked(PyObject *object, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(((Lane *)object)->box != NULL);
}

static int lane_traverse(PyObject *object, visitproc visit, void *arg)
{
    Lane *self = (Lane *)object;
    Py_VISIT(Py_TYPE(object));
    Py_VISIT(self->gate);
    Py_VISIT(self->place);
    Py_VISIT(self->box);
    Py_VISIT(self->use);
    Py_VISIT(self->ways);
    Py_VISIT(self->window);
    Py_VISIT(self->brake);
    return 0;
}

static int lane_clear(PyObject *object)
{
    Lane *self = (Lane *)object;
    Py_CLEAR(self->gate);
    Py_CLEAR(self->place);
    lane_let_go(self); /* the box has it among its lanes, or is being cleared itself */
    return 0;
}

static void lane_dealloc(PyObject *object)
{
    PyTypeObject *type = Py_TYPE(object);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    PyObject_GC_UnTrack(object);
    lane_clear(object);
    release(object);
    DROP(type);
}

static PyMethodDef lane_methods[] = {
    {"get_buffer", lane_get_buffer, METH_O, get_buffer_doc},
    {"buffer_updated", lane_buffer_updated, METH_O, buffer_updated_doc},
    {"link", lane_link, METH_VARARGS, link_doc},
    {"part", lane_part, METH_NOARGS, part_doc},
    {"offer", lane_offer, METH_VARARGS, offer_doc},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef lane_fields[] = {
    {"moved", T_LONGLONG, offsetof(Lane, moved), 0, "bytes, both ways"},
    {"gate", T_OBJECT, offsetof(Lane, gate), 0, "who looks at what the socket says, and gets; None: nobody"},
    {"place", T_OBJECT, offsetof(Lane, place), 0, "where the socket's bytes were put last"},
    {"counted", T_BOOL, offsetof(Lane, counted), 0, "`carried` is told of what went to the socket"},
    {"hears", T_BOOL, offsetof(Lane, hears), 0, "the gate may be given frames, and `bring` what that changes"},
    {NULL, 0, 0, 0, NULL},
};

static PyGetSetDef lane_asked[] = {
    {"linked", lane_linked, NULL, "C may carry it", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot lane_slots[] = {
    {Py_tp_dealloc, lane_dealloc},
    {Py_tp_traverse, lane_traverse},
    {Py_tp_clear, lane_clear},
    {Py_tp_methods, lane_methods},
    {Py_tp_members, lane_fields},
    {Py_tp_getset, lane_asked},
    {Py_tp_doc, "One stream's, and its socket's."},
    {0, NULL},
};

PyType_Spec lane_spec = {"hardline.native._carry.Lane", sizeof(Lane), 0,
                         Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC, lane_slots};
