/* One session: the base of outbox.Outbox.

     what its lanes have put into the staging buffer ── tick ──▶ encrypted and written, once in a turn of the loop

   Its rules stand in Python, too, which goes on with the same numbers wherever something is not as it mostly is.  What
   comes in is in carrying.c. */

#include "carry.h"

#include <math.h>
#include <string.h>

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

Lane *box_find(Box *self, uint32_t number)
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

double box_now(Box *self)
{
    PyObject *time = PyObject_CallObject(self->time, NULL);
    double found = time == NULL ? -1.0 : PyFloat_AsDouble(time);
    DROP(time);
    return found; /* -1.0 and an exception */
}

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
static int asked(Box *self, double time)
{
    Marks *marks = self->marks;
    if (marks->asked_at != INFINITY)
        return 0;
    marks->asked_at = time;
    double idle = marks->heard_at + marks->interval, soon = marks->asked_at + UNANSWERED;
    double deadline = marks->pinged_at != INFINITY ? marks->pinged_at + marks->timeout : idle < soon ? idle : soon;
    return deadline < marks->alarm_at ? tell(self->look_sooner, NULL, NULL) : 0;
}

/* Whether C may encrypt what is staged, and write it: asked again after whatever Python has done meanwhile. */
static int may_write(const Box *self)
{
    const Wire *wire = self->wire;
    return wire->cipher != NULL && wire->direct && !wire->blocked && has(wire->transport) && has(self->staging);
}

/* The control frames, behind what is staged.  0, or -1; 1 where they have no room there. */
static int add_answers(Box *self, const Py_buffer *staged)
{
    Py_ssize_t count = PyByteArray_Size(self->answers);
    if (!count)
        return 0;
    if (self->fill < 0 || self->fill > staged->len || count > staged->len - self->fill)
        return 1;
    memcpy((uint8_t *)staged->buf + self->fill, PyByteArray_AsString(self->answers), (size_t)count);
    if (PyByteArray_Resize(self->answers, 0) < 0)
        return -1;
    self->fill += count;
    return 0;
}

/* What is staged, encrypted and written.  0, or -1; 1 where Python has to do it. */
static int write_staged(Box *self)
{
    Wire *wire = self->wire;
    if (wire == NULL || !may_write(self) || self->unheard || self->patient || PyList_Size(self->unannounced))
        return 1;
    if (self->marks->pinged_at != INFINITY && PyByteArray_Size(self->answers))
        return 1; /* a ping may be among them, and Python notes where it ends */
    PyObject *transport = wire->transport;
    KEEP(transport);
    PyObject *closing = PyObject_CallMethodObjArgs(transport, names.is_closing, NULL);
    int is_closing = closing == NULL ? -1 : PyObject_IsTrue(closing);
    DROP(closing);
    DROP(transport);
    if (is_closing)
        return is_closing;
    double time = box_now(self);
    if (PyErr_Occurred())
        return -1;
    if (!may_write(self))
        return 1;
    Sizes *sizes = wire->sizes;
    if ((time - sizes->sent_at) * 1000 > PAUSE_MS ||
        (sizes->left > 0 && self->fill + PyByteArray_Size(self->answers) > SMALL))
        return 1; /* it begins with small records: Python cuts it */
    if (self->fill && asked(self, time) < 0) /* ends, and answers, are answered by nobody */
        return -1;
    if (!may_write(self))
        return 1;
    PyObject *staging = self->staging, *give_back = self->give_staging_back, *rest = NULL;
    Py_buffer source, target;
    KEEP(staging);
    int failed = buffer_of(staging, &source, PyBUF_WRITABLE);
    if (!failed && (!may_write(self) || self->staging != staging)) {
        PyBuffer_Release(&source);
        failed = 1;
    }
    DROP(staging); /* the box still has it */
    if (!failed && (failed = add_answers(self, &source)))
        PyBuffer_Release(&source);
    if (failed)
        return failed;
    Cipher *cipher = wire->cipher;
    sizes = wire->sizes;
    long long count = self->fill;
    if (count < 0 || count > source.len || PyObject_GetBuffer(wire->scratch, &target, PyBUF_WRITABLE) < 0) {
        PyBuffer_Release(&source);
        if (!PyErr_Occurred())
            PyErr_SetString(PyExc_ValueError, "not within the staging buffer");
        return -1;
    }
    self->fill = 0;
    self->staging = NULL;
    sizes->sent_at = time;
    if (sizes->left > 0)
        sizes->left -= count;
    size_t produced = 0;
    KEEP(wire);
    KEEP(cipher);
    KEEP(give_back);
    int code = cipher_push(cipher, source.buf, (Py_ssize_t)count, wire->fd, target.buf, (size_t)target.len, &produced,
                           &rest);
    PyBuffer_Release(&target);
    PyBuffer_Release(&source);
    wire->written += (long long)produced;
    failed = PyErr_Occurred() ? -1 : tell(give_back, NULL, "(O)", staging); /* or no memory for what is left */
    DROP(staging);
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

PyDoc_STRVAR(tick_doc, "tick()\n\n"
                       "The end of a turn of the event loop: send what there is, and share out the next one.");

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
    if (!PyArg_ParseTuple(args, "O!O!O!O!O!O!O!OO(OOOOO)O", types.wire, &wire, types.frames, &frames, types.held,
                          &holding, types.marks, &marks, types.budget, &budget, &PyByteArray_Type, &answers,
                          &PyList_Type, &unannounced, &waiting, &parked, &time, &call_soon, &take, &give, &sooner,
                          &session))
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

PyDoc_STRVAR(carry_doc, "carry(data, most) -> (offset, frames)\n\n"
                        "Bring the frames at the start of `data` to their sockets, `most` of them, up to the first that\n"
                        "is not plain DATA of a lane: `data` from `offset` on is Python's.");

PyDoc_STRVAR(unlink_doc, "unlink()\n\nThe session is over: it is not held any more, nor is any lane.  Idempotent.");

static PyObject *box_unlink(PyObject *object, PyObject *Py_UNUSED(nothing))
{
    Box *self = (Box *)object;
    self->ready = 0;
    self->over = 1;
    while (self->count) {
        Lane *lane = self->lanes[--self->count];
        if (lane->box == self)
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
