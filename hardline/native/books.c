/* What Python and C count together: numbers, which both read and write where they are.  The rules that they follow are
   in the classes that are made of these: either can go on where the other stopped. */

#include "carry.h"

#define NUMBER(of, name) {#name, T_LONGLONG, offsetof(of, name), 0, NULL}
#define YES_OR_NO(of, name) {#name, T_BOOL, offsetof(of, name), 0, NULL}
#define SECONDS(of, name) {#name, T_DOUBLE, offsetof(of, name), 0, NULL}
#define LAST {NULL, 0, 0, 0, NULL}

/* A type `lower` of structs `Upper` with the members `lower_fields`. */
#define BOOK(Upper, lower) \
    static PyType_Slot lower##_slots[] = {{Py_tp_members, lower##_fields}, {0, NULL}}; \
    PyType_Spec lower##_spec = {"hardline.native._carry." #Upper, sizeof(Upper), 0, \
                                Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE, lower##_slots};

static PyMemberDef window_fields[] = {
    NUMBER(Window, left), NUMBER(Window, given), NUMBER(Window, owed), NUMBER(Window, size), LAST,
};
BOOK(Window, window)

static PyMemberDef ways_fields[] = {
    NUMBER(Ways, send_window), YES_OR_NO(Ways, local_ended), YES_OR_NO(Ways, remote_ended), YES_OR_NO(Ways, announced),
    LAST,
};
BOOK(Ways, ways)

static PyMemberDef use_fields[] = {NUMBER(Use, turn), NUMBER(Use, used), NUMBER(Use, held), LAST};
BOOK(Use, use)

static PyMemberDef held_fields[] = {NUMBER(Held, held), NUMBER(Held, noted), LAST};
BOOK(Held, held)

static PyMemberDef budget_fields[] = {NUMBER(Budget, left), LAST};
BOOK(Budget, budget)

static PyMemberDef reasons_fields[] = {NUMBER(Reasons, reasons), LAST};
BOOK(Reasons, reasons)

static PyMemberDef marks_fields[] = {
    SECONDS(Marks, heard_at), SECONDS(Marks, asked_at), SECONDS(Marks, pinged_at),
    SECONDS(Marks, interval), SECONDS(Marks, timeout), SECONDS(Marks, alarm_at), LAST,
};
BOOK(Marks, marks)

static PyMemberDef sizes_fields[] = {NUMBER(Sizes, left), SECONDS(Sizes, sent_at), LAST};
BOOK(Sizes, sizes)

static PyMemberDef frames_fields[] = {
    NUMBER(Frames, frames), NUMBER(Frames, header), NUMBER(Frames, payload_left),
    NUMBER(Frames, payload_stream), NUMBER(Frames, payload_flags), LAST,
};
BOOK(Frames, frames)
