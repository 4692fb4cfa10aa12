/* What comes and goes on one session: the base of outbox.Outbox.

     what the peer says ── take, carry ──▶ plain DATA frames: to the sockets of their lanes
                                       └──▶ the first that is anything else, and all behind it: Session.take
     what lanes have put into the staging buffer ── tick ──▶ encrypted and written, once in a turn of the loop

   Every rule stands in Python, too (yamux.py, session.py, outbox.py), which goes on with the same numbers wherever
   something is not as it mostly is. */

#include "carry.h"

#include <math.h>
#include <string.h>

enum { HEADER = 12, AT_ONCE = 32, WORTH = 16384 };                        /* yamux.py, frames.py, inward.py */
enum { ALONE = 4194304, TURN = 524288, SHARE = 8192 };                    /* outbox.py */
static const double UNANSWERED = 1.0;                                     /* liveness.py */

/* The lanes. */

static size_t place_of(Box *self, uint32_t number)
{
    size_t low = 0, high = self->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (self->lanes[middle]->number < number)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static Lane *find(Box *self, uint32_t number)
{
    size_t at = place_of(self, number);
    Lane *found = at < self->count && self->lanes[at]->number == number ? self->lanes[at] : NULL;
    return found != NULL && found->box == self ? found : NULL;
}

int box_insert(Box *self, Lane *lane)
{
    size_t at = place_of(self, lane->number);
    if (at < self->count && self->lanes[at]->number == lane->number) {
        PyErr_SetString(PyExc_ValueError, "this stream has its lane");
        return -1;
    }
    if (self->count == self->room) {
        size_t room = self->room ? 2 * self->room : 4;
        Lane **more = PyMem_Realloc(self->lanes, room * sizeof *more);
        if (more == NULL) {
            PyErr_NoMemory();
            return -1;
        }
        self->lanes = more;
        self->room = room;
    }
    memmove(&self->lanes[at + 1], &self->lanes[at], (self->count - at) * sizeof *self->lanes);
    self->lanes[at] = lane;
    self->count++;
    KEEP(lane);
    return 0;
}

void box_remove(Box *self, uint32_t number)
{
    size_t at = place_of(self, number);
    if (at == self->count || self->lanes[at]->number != number)
        return;
    Lane *lane = self->lanes[at];
    self->count--;
    memmove(&self->lanes[at], &self->lanes[at + 1], (self->count - at) * sizeof *self->lanes);
    DROP(lane);
}

/* In. */

static uint32_t big_endian(const uint8_t *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | (uint32_t)at[3];
}

static double now(Box *self)
{
    PyObject *time = PyObject_CallObject(self->time, NULL);
    double found = time == NULL ? -1.0 : PyFloat_AsDouble(time);
    DROP(time);
    return found; /* -1.0 and an exception */
}

/* The socket of `lane` took `count` bytes: they are credited when that is due, as by outbox.Outbox.consumed. */
static int consumed(Box *self, Lane *lane, long long count)
{
    Use *use = lane->use;
    if (use->held > 0) /* of them, or of others */
        return tell((PyObject *)self, names.consumed, "(OL)", use, count);
    lane->window->owed += count;
    return lane->window->owed < lane->window->size / 2 ? 0 : tell((PyObject *)self, names.consumed, "(Oi)", use, 0);
}

/* How many bytes of `lane` nobody has to look at; -1 with an exception. */
static long long unwatched(Lane *lane)
{
    if (!has(lane->gate))
        return lane->counted ? lane->unwatched : INT64_MAX;
    if (lane->stale) {
        PyObject *found = PyObject_GetAttr(lane->gate, names.unwatched);
        long long count = found == NULL ? -1 : PyLong_AsLongLong(found);
        DROP(found);
        if (PyErr_Occurred())
            return -1;
        lane->unwatched = count > 0 ? count : 0;
        lane->stale = 0;
    }
    return lane->unwatched;
}

/* Up to `count` bytes of a frame that nobody looks at: how many its socket took, or -1. */
static long long write_unwatched(Box *self, Lane *lane, const uint8_t *bytes, size_t count)
{
    ssize_t taken = write_some(lane->fd, bytes, count);
    if (taken < 0)
        taken = 0; /* Python's own write fails, too, and says why */
    if ((size_t)taken < count)
        lane->fd = -1;
    if (!taken)
        return 0;
    lane->moved += taken;
    if (lane->counted) {
        lane->unwatched -= taken;
        if (tell((PyObject *)lane, names.carried, "(n)", (Py_ssize_t)taken) < 0)
            return -1;
    }
    return lane->box == self && consumed(self, lane, taken) < 0 ? -1 : (long long)taken;
}

/* A whole frame that the gate looks at; `fell` is set where Python has to see to what came of it.  0, or -1. */
static int write_watched(Box *self, Lane *lane, PyObject *view, const uint8_t *bytes, size_t at, size_t count, int *fell)
{
    PyObject *piece = slice_of(view, at, at + count);
    if (piece == NULL)
        return -1;
    lane->moved += (long long)count;
    lane->stale = 1;
    PyObject *gate = lane->gate;
    KEEP(gate);
    PyObject *heard = PyObject_CallMethodObjArgs(gate, names.heard, piece, NULL);
    DROP(gate);
    int changed = heard == NULL ? -1 : PyObject_IsTrue(heard);
    DROP(heard);
    if (changed < 0 || lane->box != self) { /* its stream is over: what came for it is nobody's */
        DROP(piece);
        return changed < 0 ? -1 : 0;
    }
    ssize_t taken = 0;
    if (!changed && lane->fd >= 0) {
        taken = write_some(lane->fd, bytes + at, count);
        if (taken < 0)
            taken = 0;
        if (taken && consumed(self, lane, taken) < 0) {
            DROP(piece);
            return -1;
        }
        if ((size_t)taken == count || lane->box != self) {
            DROP(piece);
            return 0;
        }
        lane->fd = -1;
        DROP(piece);
        if ((piece = slice_of(view, at + (size_t)taken, at + count)) == NULL)
            return -1;
    }
    *fell = 1;
    lane->use->held += (long long)count - taken;
    self->holding->held += (long long)count - taken;
    int failed = tell((PyObject *)lane, names.bring, "(OO)", piece, changed ? Py_True : Py_False);
    DROP(piece);
    return failed;
}

/* Bring the frames at the start of bytes[:end] to their sockets, `most` of them: where it has come to, and how many
   began.  0, or -1 with an exception. */
static int carry(Box *self, PyObject *view, const uint8_t *bytes, size_t end, long long most, size_t *at,
                 long long *frames, int *fell)
{
    Frames *yamux = self->frames;
    *at = 0;
    *frames = 0;
    *fell = 0;
    if (yamux->header || (yamux->payload_left && yamux->payload_flags))
        return 0;
    while (self->ready) {
        if (yamux->payload_left > 0) {
            Lane *lane = find(self, (uint32_t)yamux->payload_stream);
            size_t left = (size_t)yamux->payload_left, here = end - *at < left ? end - *at : left;
            if (lane == NULL || lane->fd < 0 || !here)
                return 0;
            KEEP(lane);
            /* A frame that began with Python may hold more than nobody has to look at. */
            long long free = unwatched(lane), taken = 0;
            if (free >= (long long)left && lane->box == self)
                taken = write_unwatched(self, lane, bytes + *at, here);
            DROP(lane);
            if (free < 0 || taken < 0)
                return -1;
            *at += (size_t)taken;
            yamux->payload_left -= taken;
            if ((size_t)taken < here)
                return 0;
            continue;
        }
        if (end - *at < HEADER || *frames >= most || big_endian(bytes + *at) != 0)
            return 0; /* version 0, type DATA, no flags: four zeros */
        uint32_t number = big_endian(bytes + *at + 4), length = big_endian(bytes + *at + 8);
        Lane *lane = find(self, number);
        if (lane == NULL || lane->fd < 0 || !length || lane->ways->remote_ended || length > lane->window->left)
            return 0;
        KEEP(lane);
        int whole = end - *at - HEADER >= length, hears = lane->hears && has(lane->gate), failed = 0;
        int watched = hears && whole && length < WORTH; /* to ask costs as much as to look */
        if (!watched) {
            long long free = unwatched(lane);
            if (free < 0 || lane->box != self || (free < (long long)length && !(hears && whole))) {
                DROP(lane);
                return free < 0 ? -1 : 0;
            }
            watched = free < (long long)length;
        }
        lane->window->left -= length;
        yamux->frames++;
        ++*frames;
        *at += HEADER;
        if (watched) {
            *at += length;
            failed = write_watched(self, lane, view, bytes, *at - length, length, fell);
        } else {
            yamux->payload_stream = number;
            yamux->payload_left = length;
            yamux->payload_flags = 0;
        }
        DROP(lane);
        if (failed < 0)
            return -1;
    }
    return 0;
}

PyDoc_STRVAR(carry_doc, "carry(data, most) -> (offset, frames)\n\n"
                        "Bring the frames at the start of `data` to their sockets, `most` of them, up to the first that is not\n"
                        "plain DATA of a lane: `data` from `offset` on is Python's.");

static PyObject *box_carry(PyObject *object, PyObject *args)
{
    Box *self = (Box *)object;
    PyObject *view;
    Py_buffer data;
    long long most, frames;
    size_t at;
    int fell;
    if (!PyArg_ParseTuple(args, "OL", &view, &most))
        return NULL;
    if (!PyMemoryView_Check(view)) {
        PyErr_SetString(PyExc_TypeError, "data is a memoryview");
        return NULL;
    }
    if (PyObject_GetBuffer(view, &data, PyBUF_SIMPLE) < 0)
        return NULL;
    int failed = self->frames == NULL ? (at = 0, frames = 0, 0)
                                      : carry(self, view, data.buf, (size_t)data.len, most, &at, &frames, &fell);
    PyBuffer_Release(&data);
    return failed < 0 ? NULL : Py_BuildValue("nL", (Py_ssize_t)at, frames);
}

/* What the peer said, bytes[:end], which is `view`, too: as session.Session.plaintext_received.  0, or -1. */
int box_take(Box *self, PyObject *view, const uint8_t *bytes, size_t end)
{
    PyObject *session = self->session;
    Budget *budget = self->budget;
    size_t at;
    long long frames;
    int fell;
    Py_ssize_t waiting = PyObject_Size(self->waiting);
    if (waiting < 0)
        return -1;
    KEEP(session);
    KEEP(budget);
    PyObject *rest = NULL;
    int failed = -1;
    if (waiting || budget->left < 1) {
        rest = slice_of(view, 0, end);
        failed = rest == NULL ? -1 : tell(session, names.plaintext_received, "(O)", rest);
        goto over;
    }
    double time = now(self);
    if (PyErr_Occurred())
        goto over;
    self->marks->heard_at = time;
    self->marks->asked_at = self->marks->pinged_at = INFINITY;
    self->received += (long long)end;
    long long most = budget->left < AT_ONCE ? budget->left : AT_ONCE;
    failed = carry(self, view, bytes, end, most, &at, &frames, &fell);
    if (budget->left - frames < AT_ONCE) {
        if (!failed)
            failed = tell((PyObject *)budget, names.looked, "(L)", frames);
    } else
        budget->left -= frames;
    if (!failed && self->ready && (at < end || fell)) {
        rest = slice_of(view, at, end);
        failed = rest == NULL ? -1 : tell(session, names.take, "(OL)", rest, most - frames);
    }
over:
    DROP(rest);
    DROP(budget);
    DROP(session);
    return failed;
}

/* Out. */

/* Whether a lane may put something into the staging buffer, as long as there is room. */
int box_may_fill(Box *self)
{
    return self->wire != NULL && !self->over && !self->wire->blocked;
}

int box_schedule(Box *self)
{
    if (self->tick_due)
        return 0;
    PyObject *tick = PyObject_GetAttr((PyObject *)self, names.tick);
    PyObject *due = tick == NULL ? NULL : PyObject_CallFunctionObjArgs(self->call_soon, tick, NULL);
    DROP(tick);
    if (due == NULL)
        return -1;
    DROP(due);
    self->tick_due = 1;
    return 0;
}

/* Something the peer has to answer goes out: as watch.Watch.sent.  0, or -1. */
static int asked(Box *self)
{
    Marks *marks = self->marks;
    if (marks->asked_at != INFINITY)
        return 0;
    marks->asked_at = now(self);
    if (PyErr_Occurred())
        return -1;
    double idle = marks->heard_at + marks->interval, soon = marks->asked_at + UNANSWERED;
    double deadline = marks->pinged_at != INFINITY ? marks->pinged_at + marks->timeout : idle < soon ? idle : soon;
    return deadline < marks->alarm_at ? tell(self->look_sooner, NULL, NULL) : 0;
}

/* What is staged, encrypted and written.  0, or -1; 1 where Python has to do it. */
static int write_staged(Box *self)
{
    Wire *wire = self->wire;
    if (wire == NULL || !wire->direct || wire->blocked || self->unheard || self->patient || !has(self->staging) ||
        PyByteArray_Size(self->answers) || PyList_Size(self->unannounced))
        return 1;
    PyObject *closing = PyObject_CallMethodObjArgs(wire->transport, names.is_closing, NULL);
    int is_closing = closing == NULL ? -1 : PyObject_IsTrue(closing);
    DROP(closing);
    if (is_closing)
        return is_closing;
    if (asked(self) < 0)
        return -1;
    if (!has(self->staging) || !wire->direct) /* a callback of Python's ran */
        return 1;
    PyObject *staging = self->staging, *scratch = wire->scratch, *give_back = self->give_staging_back, *rest = NULL;
    Cipher *cipher = wire->cipher;
    long long count = self->fill;
    Py_buffer source, target;
    PyObject *data = PyObject_GetAttr(staging, names.data);
    if (data == NULL)
        return -1;
    int failed = PyObject_GetBuffer(data, &source, PyBUF_SIMPLE);
    DROP(data);
    if (failed)
        return -1;
    if (count < 0 || count > source.len || PyObject_GetBuffer(scratch, &target, PyBUF_WRITABLE) < 0) {
        PyBuffer_Release(&source);
        if (!PyErr_Occurred())
            PyErr_SetString(PyExc_ValueError, "not within the staging buffer");
        return -1;
    }
    self->fill = 0;
    self->staging = NULL;
    size_t produced = 0;
    KEEP(wire);
    KEEP(cipher);
    KEEP(give_back);
    int code = cipher_push(cipher, source.buf, (Py_ssize_t)count, wire->fd, target.buf, (size_t)target.len, &produced, &rest);
    PyBuffer_Release(&target);
    PyBuffer_Release(&source);
    wire->written += (long long)produced;
    PyObject *given = PyObject_CallFunctionObjArgs(give_back, staging, NULL);
    failed = given == NULL ? -1 : 0;
    DROP(given);
    DROP(staging);
    if (!failed && PyErr_Occurred())
        failed = -1; /* no memory for what is left */
    if (!failed && code == -1)
        failed = tell((PyObject *)self, names.refused, NULL);
    else if (!failed && (code || rest != NULL))
        failed = tell((PyObject *)wire, names.sent, "(Oi)", rest != NULL ? rest : Py_None, code);
    DROP(rest);
    DROP(give_back);
    DROP(cipher);
    DROP(wire);
    return failed;
}

/* As outbox.Outbox.flush.  0, or -1. */
int box_flush(Box *self)
{
    int done = write_staged(self);
    return done == 1 ? tell((PyObject *)self, names.flush, NULL) : done;
}

PyDoc_STRVAR(tick_doc, "tick()\n\nThe end of a turn of the event loop: send what there is, and share out the next one.");

static PyObject *box_tick(PyObject *object, PyObject *Py_UNUSED(nothing))
{
    Box *self = (Box *)object;
    self->tick_due = 0;
    if (self->over)
        Py_RETURN_NONE;
    if (self->wire == NULL)
        return PyObject_CallMethodObjArgs(object, names.end_turn, NULL);
    if ((self->fill || PyByteArray_Size(self->answers) || PyList_Size(self->unannounced)) && box_flush(self) < 0)
        return NULL;
    Py_ssize_t parked = self->parked == NULL ? 0 : PyObject_Size(self->parked);
    if (parked < 0)
        return NULL;
    if (parked)
        return call(object, names.next_turn, "(i)", TURN);
    long long each = self->senders < 2 ? ALONE : TURN / self->senders;
    self->share = each > SHARE ? each : SHARE;
    self->turn++;
    self->senders = 0;
    Py_RETURN_NONE;
}

PyDoc_STRVAR(link_doc,
             "link(wire, frames, holding, marks, budget, answers, unannounced, waiting, parked,\n"
             "     (time, call_soon, take_staging, give_staging_back, look_sooner), session)\n\n"
             "The session's others, with which it counts; until `unlink`.");

static PyObject *box_link(PyObject *object, PyObject *args)
{
    Box *self = (Box *)object;
    PyObject *wire, *frames, *holding, *marks, *budget, *answers, *unannounced, *waiting, *parked, *session;
    PyObject *time, *call_soon, *take, *give, *sooner;
    if (!PyArg_ParseTuple(args, "O!O!O!O!O!O!O!OO(OOOOO)O", types.wire, &wire, types.frames, &frames, types.held, &holding,
                          types.marks, &marks, types.budget, &budget, &PyByteArray_Type, &answers, &PyList_Type, &unannounced,
                          &waiting, &parked, &time, &call_soon, &take, &give, &sooner, &session))
        return NULL;
    if (self->wire != NULL) {
        PyErr_SetString(PyExc_ValueError, "linked already");
        return NULL;
    }
    PyObject *all[] = {wire, frames, holding, marks, budget, answers, unannounced, waiting, parked, session,
                       time, call_soon, take, give, sooner};
    for (size_t index = 0; index < sizeof all / sizeof *all; index++)
        KEEP(all[index]);
    self->wire = (Wire *)wire;
    self->frames = (Frames *)frames;
    self->holding = (Held *)holding;
    self->marks = (Marks *)marks;
    self->budget = (Budget *)budget;
    self->answers = answers;
    self->unannounced = unannounced;
    self->waiting = waiting;
    self->parked = parked;
    self->session = session;
    self->time = time;
    self->call_soon = call_soon;
    self->take_staging = take;
    self->give_staging_back = give;
    self->look_sooner = sooner;
    Py_RETURN_NONE;
}

PyDoc_STRVAR(unlink_doc, "unlink()\n\nThe session is over: it is not held any more, nor is any lane.  Idempotent.");

static PyObject *box_unlink(PyObject *object, PyObject *Py_UNUSED(nothing))
{
    Box *self = (Box *)object;
    self->ready = 0;
    self->over = 1;
    while (self->count) {
        Lane *lane = self->lanes[self->count - 1];
        KEEP(lane);
        box_remove(self, lane->number);
        lane_let_go(lane);
        DROP(lane);
    }
    Py_CLEAR(self->session); /* what else there is counts on: somebody may be in the middle of it */
    Py_RETURN_NONE;
}

static int box_traverse(PyObject *object, visitproc visit, void *arg)
{
    Box *self = (Box *)object;
    Py_VISIT(Py_TYPE(object));
    Py_VISIT(self->staging);
    Py_VISIT(self->wire);
    Py_VISIT(self->frames);
    Py_VISIT(self->holding);
    Py_VISIT(self->marks);
    Py_VISIT(self->budget);
    Py_VISIT(self->unannounced);
    Py_VISIT(self->waiting);
    Py_VISIT(self->parked);
    Py_VISIT(self->time);
    Py_VISIT(self->call_soon);
    Py_VISIT(self->take_staging);
    Py_VISIT(self->give_staging_back);
    Py_VISIT(self->look_sooner);
    Py_VISIT(self->session);
    for (size_t index = 0; index < self->count; index++)
        Py_VISIT(self->lanes[index]);
    return 0;
}

static int box_clear(PyObject *object)
{
    Box *self = (Box *)object;
    Lane **lanes = self->lanes;
    size_t count = self->count;
    self->ready = 0;
    self->lanes = NULL;
    self->count = self->room = 0;
    for (size_t index = 0; index < count; index++)
        DROP(lanes[index]);
    PyMem_Free(lanes);
    Py_CLEAR(self->staging);
    Py_CLEAR(self->wire);
    Py_CLEAR(self->frames);
    Py_CLEAR(self->holding);
    Py_CLEAR(self->marks);
    Py_CLEAR(self->budget);
    Py_CLEAR(self->answers);
    Py_CLEAR(self->unannounced);
    Py_CLEAR(self->waiting);
    Py_CLEAR(self->parked);
    Py_CLEAR(self->time);
    Py_CLEAR(self->call_soon);
    Py_CLEAR(self->take_staging);
    Py_CLEAR(self->give_staging_back);
    Py_CLEAR(self->look_sooner);
    Py_CLEAR(self->session);
    return 0;
}

static void box_dealloc(PyObject *object)
{
    PyTypeObject *type = Py_TYPE(object);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    PyObject_GC_UnTrack(object);
    box_clear(object);
    release(object);
    DROP(type);
}

static PyMethodDef box_methods[] = {
    {"carry", box_carry, METH_VARARGS, carry_doc},
    {"tick", box_tick, METH_NOARGS, tick_doc},
    {"link", box_link, METH_VARARGS, link_doc},
    {"unlink", box_unlink, METH_NOARGS, unlink_doc},
    {NULL, NULL, 0, NULL},
};

#define NUMBER(name) {#name, T_LONGLONG, offsetof(Box, name), 0, NULL}
#define YES_OR_NO(name) {#name, T_BOOL, offsetof(Box, name), 0, NULL}

static PyMemberDef box_fields[] = {
    NUMBER(fill), NUMBER(turn), NUMBER(senders), NUMBER(share), NUMBER(sent), NUMBER(received),
    YES_OR_NO(tick_due), YES_OR_NO(over), YES_OR_NO(unheard), YES_OR_NO(ready), YES_OR_NO(patient),
    {"staging", T_OBJECT, offsetof(Box, staging), 0, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot box_slots[] = {
    {Py_tp_dealloc, box_dealloc},
    {Py_tp_traverse, box_traverse},
    {Py_tp_clear, box_clear},
    {Py_tp_methods, box_methods},
    {Py_tp_members, box_fields},
    {Py_tp_doc, "What comes and goes on one session."},
    {0, NULL},
};

PyType_Spec box_spec = {"hardline.native._carry.Box", sizeof(Box), 0,
                        Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC, box_slots};
