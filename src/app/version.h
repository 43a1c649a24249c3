/* version.h - the one place that says which version this is. */
#ifndef SL_APP_VERSION_H
#define SL_APP_VERSION_H

#define SL_VERSION "0.1.0"

#endif
