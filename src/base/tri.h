/* tri.h - a yes or no that may not have been said. */
#ifndef SL_BASE_TRI_H
#define SL_BASE_TRI_H

enum sl_tri { SL_UNSET, SL_NO, SL_YES };

#endif
