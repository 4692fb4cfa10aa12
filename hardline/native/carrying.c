/* What the peer of a session says: plain DATA frames to the sockets of their lanes, all else to Python.

     bytes ── box_take, carry ──▶ whole or in parts, as far as nobody has to look at them ──▶ their sockets
                             ├──▶ whole ones: shown to the lane's gate ────────────────────▶ their sockets
                             └──▶ the first that is anything else, and all behind it ──────▶ Session.take

   The rules are those of yamux.Yamux.receive, session.Session and joint.Joint, by the same numbers. */

#include "carry.h"

#include <math.h>

enum { WORTH = 16384 }; /* bytes of a frame for which to ask costs little */

static uint32_t big_endian(const uint8_t *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | (uint32_t)at[3];
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
        PyObject *gate = lane->gate;
        KEEP(gate);
        PyObject *found = PyObject_GetAttr(gate, names.unwatched);
        long long count = found == NULL ? -1 : PyLong_AsLongLong(found);
        DROP(found);
        DROP(gate);
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
static int write_watched(Box *self, Lane *lane, PyObject *view, const uint8_t *bytes, size_t at, size_t count,
                         int *fell)
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
        if (taken && lane->box == self && consumed(self, lane, taken) < 0) {
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
            Lane *lane = box_find(self, (uint32_t)yamux->payload_stream);
            size_t left = (size_t)yamux->payload_left, here = end - *at < left ? end - *at : left;
            if (lane == NULL || lane->fd < 0 || lane->ways->remote_ended || !here)
                return 0; /* what comes on a stream that is gone is nobody's */
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
        Lane *lane = box_find(self, number);
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

/* The method `carry` of a Box. */
PyObject *box_carry(PyObject *object, PyObject *args)
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
    KEEP(session);
    KEEP(budget);
    PyObject *rest = NULL;
    int failed = -1;
    Py_ssize_t waiting = PyObject_Size(self->waiting);
    if (waiting < 0)
        goto over;
    if (waiting || budget->left < 1) {
        rest = slice_of(view, 0, end);
        failed = rest == NULL ? -1 : tell(session, names.plaintext_received, "(O)", rest);
        goto over;
    }
    double time = box_now(self);
    if (PyErr_Occurred())
        goto over;
    self->marks->heard_at = time;
    self->marks->asked_at = self->marks->pinged_at = INFINITY;
    self->received += (long long)end;
    long long most = budget->left < AT_ONCE ? budget->left : AT_ONCE;
    failed = carry(self, view, bytes, end, most, &at, &frames, &fell);
    if (budget->left - frames >= AT_ONCE)
        budget->left -= frames;
    else if (!failed)
        failed = tell((PyObject *)budget, names.looked, "(L)", frames);
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
