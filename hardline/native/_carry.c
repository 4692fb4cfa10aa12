/* What a tunnel does with every packet, without the interpreter.  This is the module; what it has:

     cipher.c    Cipher: one TLS connection between memory BIOs
     wire.c      Wire: the socket of one, from which what comes is decrypted and passed on
     box.c       Box: one session, what is staged to the wire; carrying.c: plain DATA frames to their sockets
     lane.c      Lane: a stream and its socket
     books.c     what Python and C count together

   Each but Cipher is the base of a class of Python's, which does the same alone where this is missing, and goes on
   wherever something is not as it mostly is: it sees the same bytes and the same numbers, and judges them.
   Lengths are size_t, Py_ssize_t or long long.  Source: docs/PROTOCOL.md, section 5; docs/decisions/0010-native.md. */

#include "carry.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

Types types;
Names names;

static PyObject *call_with(PyObject *whom, PyObject *method, const char *format, va_list all)
{
    PyObject *bound = whom, *args = NULL, *answer = NULL;
    if (method == NULL)
        KEEP(bound);
    else if ((bound = PyObject_GetAttr(whom, method)) == NULL)
        return NULL;
    if (format == NULL || (args = Py_VaBuildValue(format, all)) != NULL)
        answer = PyObject_CallObject(bound, args);
    DROP(args);
    DROP(bound);
    return answer;
}

PyObject *call(PyObject *whom, PyObject *method, const char *format, ...)
{
    va_list all;
    va_start(all, format);
    PyObject *answer = call_with(whom, method, format, all);
    va_end(all);
    return answer;
}

int tell(PyObject *whom, PyObject *method, const char *format, ...)
{
    va_list all;
    va_start(all, format);
    PyObject *answer = call_with(whom, method, format, all);
    va_end(all);
    DROP(answer);
    return answer == NULL ? -1 : 0;
}

PyObject *slice_of(PyObject *view, size_t start, size_t end)
{
    return PySequence_GetSlice(view, (Py_ssize_t)start, (Py_ssize_t)end);
}

int buffer_of(PyObject *staging, Py_buffer *buffer, int flags)
{
    KEEP(staging);
    PyObject *data = PyObject_GetAttr(staging, names.data);
    int failed = data == NULL ? -1 : PyObject_GetBuffer(data, buffer, flags);
    DROP(data);
    DROP(staging);
    return failed;
}

static int add_type(PyObject *module, PyType_Spec *spec, PyTypeObject **kept)
{
    PyObject *type = PyType_FromModuleAndSpec(module, spec, NULL);
    if (type == NULL)
        return -1;
    *kept = (PyTypeObject *)type; /* for as long as the process lives: pointers to what they are of are looked at */
    return PyModule_AddType(module, *kept);
}

static int exec_module(PyObject *module)
{
    const char *wish = getenv("HARDLINE_NATIVE");
    if (wish != NULL && strcmp(wish, "0") == 0) {
        PyErr_SetString(PyExc_ImportError, "turned off by HARDLINE_NATIVE=0");
        return -1;
    }
    if (types.box != NULL) {
        PyErr_SetString(PyExc_ImportError, "only once in a process");
        return -1;
    }
    static const struct { const char *name; int value; } numbers[] = {
        {"INTERFACE", INTERFACE}, {"DONE", DONE}, {"FULL", FULL}, {"ENDED", ENDED},
        {"FRUITLESS", FRUITLESS}, {"BROKEN", BROKEN}, {"HEADER_SIZE", HEADER}, {"AT_ONCE", AT_ONCE},
        {"_ALONE", ALONE}, {"_TURN", TURN}, {"_SHARE", SHARE}, {"_FLUSH_AT", FLUSH_AT}, {"STAGING", STAGING},
        {"UNANSWERED", UNANSWERED}, {"_BURST", BURST}, {"SMALL", SMALL}, {"PAUSE_MS", PAUSE_MS},
    };
    for (size_t index = 0; index < sizeof numbers / sizeof *numbers; index++)
        if (PyModule_AddIntConstant(module, numbers[index].name, numbers[index].value) < 0)
            return -1;
#define INTERN(name) \
    if ((names.name = PyUnicode_InternFromString(#name)) == NULL) \
        return -1;
    NAMES(INTERN)
    struct { PyType_Spec *spec; PyTypeObject **kept; } made[] = {
        {&cipher_spec, &types.cipher}, {&window_spec, &types.window}, {&ways_spec, &types.ways},
        {&use_spec, &types.use}, {&held_spec, &types.held}, {&budget_spec, &types.budget},
        {&reasons_spec, &types.reasons}, {&marks_spec, &types.marks}, {&frames_spec, &types.frames},
        {&sizes_spec, &types.sizes},
        {&wire_spec, &types.wire}, {&lane_spec, &types.lane}, {&box_spec, &types.box},
    };
    for (size_t index = 0; index < sizeof made / sizeof *made; index++)
        if (add_type(module, made[index].spec, made[index].kept) < 0)
            return -1;
    return 0;
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
