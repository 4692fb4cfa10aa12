/* What the files of the part in C know of each other: _carry.c says what each is for. */

#ifndef HARDLINE_CARRY_H
#define HARDLINE_CARRY_H

#define Py_LIMITED_API 0x030B0000
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <structmember.h>

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#pragma GCC visibility push(hidden)

/* Py_INCREF and Py_XDECREF of whatever begins with PyObject_HEAD. */
#define KEEP(object) Py_INCREF((PyObject *)(object))
#define DROP(object) Py_XDECREF((PyObject *)(object))

/* Another number with every change of what Python calls: hardline/native/built.py has the same. */
#define INTERFACE 5

/* Numbers that Python has, too: tests/session/test_carrier.py compares them. */
enum {
    HEADER = 12,                                    /* yamux.HEADER_SIZE */
    AT_ONCE = 32,                                   /* frames.py */
    ALONE = 4194304, TURN = 524288, SHARE = 8192,   /* outbox.py */
    FLUSH_AT = 131072, STAGING = 262156,            /* outbox.py, buffers.py */
    UNANSWERED = 1,                                 /* liveness.py: seconds */
    BURST = 1048576,                                /* tls.py */
    SMALL = 4096, PAUSE_MS = 500,                   /* records.py */
};

/* cipher.c: one TLS connection between memory BIOs. */

enum { DONE, FULL, ENDED, FRUITLESS, BROKEN, NO_MEMORY };

#define RECORD 16384 /* the most that one SSL_read gives (RFC 8446, section 5.1) */

typedef struct Cipher Cipher;

extern PyType_Spec cipher_spec;
int cipher_usable(Cipher *self);
int cipher_pull(Cipher *self, const char *source, Py_ssize_t *start, Py_ssize_t end, char *target, size_t size,
                size_t *ready);
PyObject *cipher_answer(Cipher *self);
int cipher_push(Cipher *self, const char *source, Py_ssize_t count, int fd, char *scratch, size_t size,
                size_t *produced, PyObject **rest);
ssize_t write_some(int fd, const void *data, size_t count);

/* books.c: what Python and C count together.  Each is the base of a class of Python's, which has the rules. */

typedef struct { PyObject_HEAD long long left, given, owed, size; } Window;             /* windows.ReceiveWindow */
typedef struct { PyObject_HEAD long long send_window; char local_ended, remote_ended, announced; } Ways; /* yamux */
typedef struct { PyObject_HEAD long long turn, used, held; } Use;                       /* stream.Stream */
typedef struct { PyObject_HEAD long long held, noted; } Held;                           /* holding.Holding */
typedef struct { PyObject_HEAD long long left; } Budget;                                /* frames.FrameTurns */
typedef struct { PyObject_HEAD long long reasons; } Reasons;                            /* brake.Brake */
typedef struct { PyObject_HEAD long long left; double sent_at; } Sizes;                  /* records.Records */
typedef struct { PyObject_HEAD double heard_at, asked_at, pinged_at, interval, timeout, alarm_at; } Marks;
typedef struct { PyObject_HEAD long long frames, header, payload_left, payload_stream, payload_flags; } Frames;

extern PyType_Spec window_spec, ways_spec, use_spec, held_spec, budget_spec, reasons_spec, marks_spec, frames_spec,
    sizes_spec;

/* wire.c, box.c and carrying.c, lane.c: the bases of tls.TlsStream, outbox.Outbox, and joint.Joint. */

typedef struct Box Box;
typedef struct Lane Lane;

typedef struct {
    PyObject_HEAD
    long long written, burst;
    int fd;
    char blocked, direct;
    PyObject *transport;
    PyObject *view;     /* where ciphertext is read to */
    Box *box;           /* whose session gets what is decrypted; NULL: Python's alone */
    Cipher *cipher;
    Sizes *sizes;
    PyObject *received, *plain, *plain_view, *scratch;
} Wire;

struct Lane {
    PyObject_HEAD
    long long moved, unwatched;
    uint32_t number;
    int fd;
    char stale, counted, hears;
    PyObject *gate, *place;
    Box *box; /* NULL: all is Python's */
    Use *use;
    Ways *ways;
    Window *window;
    Reasons *brake;
};

struct Box {
    PyObject_HEAD
    long long fill, turn, senders, share, sent, received;
    char tick_due, over, unheard, ready, patient;
    PyObject *staging;
    Wire *wire;
    Frames *frames;
    Held *holding;
    Marks *marks;
    Budget *budget;
    PyObject *answers, *unannounced, *waiting, *parked; /* bytearray, list, and two that are sized */
    PyObject *time, *call_soon, *take_staging, *give_staging_back, *look_sooner, *session;
    Lane **lanes; /* by number */
    size_t count, room;
};

extern PyType_Spec wire_spec, lane_spec, box_spec;
Lane *box_find(Box *self, uint32_t number);
double box_now(Box *self);
PyObject *box_carry(PyObject *object, PyObject *args);
int box_take(Box *self, PyObject *view, const uint8_t *bytes, size_t end);
int box_may_fill(Box *self);
int box_schedule(Box *self);
int box_flush(Box *self);
int box_insert(Box *self, Lane *lane);
void box_remove(Box *self, uint32_t number);
void lane_let_go(Lane *self);

/* A member that Python may have set to None. */
static inline int has(const PyObject *object)
{
    return object != NULL && object != Py_None;
}

/* _carry.c: the types, as they were made for the module. */

typedef struct {
    PyTypeObject *cipher, *window, *ways, *use, *held, *budget, *reasons, *marks, *frames, *sizes, *wire, *lane, *box;
} Types;

extern Types types;

/* What of Python's is asked for by name: each found by its pointer, not by its letters. */
#define NAMES(X) \
    X(asked) X(bring) X(carried) X(consumed) X(data) X(end_turn) X(flush) X(heard) X(is_closing) \
    X(looked) X(next_turn) X(passed) X(plaintext_received) X(pull_failed) X(refused) X(room_for) X(sent) \
    X(take) X(tick) X(took) X(took_in) X(unwatched) X(view) X(wait_for_room) X(went_on) X(withheld)

#define NAME(name) *name,
typedef struct { PyObject NAMES(NAME) *none; } Names;

extern Names names;

/* Call a method, or `whom` itself without one; as Py_BuildValue, with a tuple for `format`. */
PyObject *call(PyObject *whom, PyObject *method, const char *format, ...);
/* The same where nobody wants to know what it returns: 0, or -1 with an exception. */
int tell(PyObject *whom, PyObject *method, const char *format, ...);
/* The bytes of a staging buffer, an engine.Scratch; until they are released.  0, or -1 with an exception. */
int buffer_of(PyObject *staging, Py_buffer *buffer, int flags);
PyObject *slice_of(PyObject *view, size_t start, size_t end);

#pragma GCC visibility pop
#endif
