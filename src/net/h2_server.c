/* h2_server.c - HTTP/2 connections. */
#include "net/server_internal.h"

static enum sl_err
open_h2(struct sl_conn *conn)
{
	(void)conn;
	return SL_EUNSUPPORTED;
}

const struct sl_conn_ops sl_h2_ops = { .open = open_h2 };
