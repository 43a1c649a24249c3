/* err.h - error codes of the whole program.
 *
 * 0 is success, negatives are errors. bool only answers questions. A parser
 * returns the number of bytes it used, SL_MORE when the input ends before a
 * decision, or another negative code. What a caller of the gateway sees is
 * not one of these but a struct sl_fault (model/fault.h).
 */
#ifndef SL_BASE_ERR_H
#define SL_BASE_ERR_H

#define SL_ERRORS(X)                                                          \
	X(SL_MORE, -1, "more input is needed")                                \
	X(SL_AGAIN, -2, "the operation would block")                          \
	X(SL_ENOMEM, -3, "out of memory")                                     \
	X(SL_ELIMIT, -4, "a configured limit was reached")                    \
	X(SL_ESYNTAX, -5, "malformed input")                                  \
	X(SL_ETYPE, -6, "wrong type")                                         \
	X(SL_EDUPLICATE, -7, "duplicate entry")                               \
	X(SL_ENOTFOUND, -8, "not found")                                      \
	X(SL_EEXIST, -9, "exists already")                                    \
	X(SL_EIO, -10, "input or output failed")                              \
	X(SL_ECLOSED, -11, "the peer closed the connection")                  \
	X(SL_ETIMEDOUT, -12, "timed out")                                     \
	X(SL_ERESOLVE, -13, "the host name could not be resolved")            \
	X(SL_ECONNECT, -14, "the connection could not be opened")             \
	X(SL_ETLS, -15, "the TLS handshake or record layer failed")           \
	X(SL_EPOLICY, -16, "the address policy forbids this destination")     \
	X(SL_EPROTO, -17, "the peer broke the protocol")                      \
	X(SL_ECANCELLED, -18, "cancelled")                                    \
	X(SL_EINVAL, -19, "invalid argument")                                 \
	X(SL_EBUSY, -20, "busy")                                              \
	X(SL_EUNSUPPORTED, -21, "not supported")                              \
	X(SL_EFULL, -22, "no space is left")

enum sl_err {
	SL_OK = 0,
#define SL_ERR_ENUM(id, value, text) id = value,
	SL_ERRORS(SL_ERR_ENUM)
#undef SL_ERR_ENUM
};

/* Text for logs, never NULL, static storage. */
const char *sl_err_text(int err);

#endif
