/* The load of `python -m benchmarks.capture`: streams chat chunks faster than any client reads them.
 *
 *     load_server [CERT KEY]        listens on 127.0.0.1, with TLS when there is a certificate; prints {"port": ...}
 *
 * HTTP/1.1, chunked, one chunk per event, TCP_NODELAY. A token's text is the time at which it was sent, its `id` ends
 * in the time at which the request came: CLOCK_MONOTONIC ns, 19 digits. What is streamed stands in the path:
 *
 *     POST /~mode=lock,group=a,streams=1,pid=123,warm=100,window=500,hold=500,settle=50/v1/chat/completions
 *
 * lock: the next event only when the client's receive queue is empty (NETLINK_SOCK_DIAG), so that each costs one read.
 * blast: as fast as it goes. paced: every `gap` us from each stream, evenly spread. burst: the same, all in one instant.
 * ttft: the first event `ttft` us after the request, then every `gap` us.
 *
 * A group starts when all its streams have asked. The CPU clock of the process `pid` is read here, from outside, after
 * `warm` ms, `window` ms later, and when `settle` ms after that everything has been read (at most 3 s later); the
 * connections stay open for `hold` ms before [DONE]. What was seen is printed as one line of JSON per group. SIGTERM
 * ends it.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>
#ifdef WITH_TLS
#include <openssl/err.h>
#include <openssl/ssl.h>
#endif

#define HEADS "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nCache-Control: no-cache\r\n" \
              "Transfer-Encoding: chunked\r\n\r\n"
#define EVENT "f6\r\ndata: {\"id\":\"chatcmpl-0000000000000000000\",\"object\":\"chat.completion.chunk\"," \
              "\"created\":1700000000,\"model\":\"m\",\"system_fingerprint\":\"fp_12345\",\"choices\":[{\"index\":0," \
              "\"delta\":{\"content\":\"0000000000000000000\"},\"logprobs\":null,\"finish_reason\":null}]}\n\n\r\n"
#define FINISH "{\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1700000000,\"model\":\"m\"," \
               "\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}"
_Static_assert(sizeof EVENT - 1 == 4 + 0xf6 + 2, "a chunk of 246 bytes: 238 of JSON");
#define ASKED_MAX 65536
#define OUT_MAX 65536
#define FDS_MAX 65536
#define BACKLOG_MAX 131072
#define PATIENCE_NS 3000000000
#define LOOK_NS 5000000
#define NEVER INT64_MAX

enum mode { LOCK, BLAST, PACED, BURST, TTFT };
static const char *const MODES[] = {"lock", "blast", "paced", "burst", "ttft"};
enum stage { WAITING, WARMING, MEASURING, SETTLING, HOLDING, OVER };

typedef struct {
    int64_t client, own, wall, events;
} reading;

typedef struct group {
    struct group *next;
    char name[64];
    enum mode mode;
    enum stage stage;
    int streams, joined, open, *fds;
    long pid;
    int64_t warm, window, settle, hold, gap, ttft; /* ns */
    int64_t start, events, latest, longer;
    reading first, last, settled;
} group;

typedef struct {
    int fd, registered_for_write;
    struct sockaddr_in peer;
    group *group;
    char *asked, *out;
    size_t n_asked, out_from, out_to;
    int64_t due;
    char event[sizeof EVENT];
#ifdef WITH_TLS
    SSL *tls;
    int shaken;
#endif
} conn;

static conn *conns[FDS_MAX];
static group *groups;
static int poller, timer, diag = -1;
static uint16_t own_port;
static size_t stamp_at, arrival_at;
#ifdef WITH_TLS
static SSL_CTX *tls_context;
#endif

static int64_t clock_ns(clockid_t clock)
{
    struct timespec t;
    return clock_gettime(clock, &t) ? 0 : t.tv_sec * 1000000000LL + t.tv_nsec;
}

static void digits(char *at, int64_t value)
{
    for (int i = 18; i >= 0; i--, value /= 10)
        at[i] = (char)('0' + value % 10);
}

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

/* ---- what waits in the client's socket ---- */

/* Bytes that the client has not read, those included that wait for the client to leave the kernel; -1: not known. */
static int unread(const conn *c)
{
    struct {
        struct nlmsghdr head;
        struct inet_diag_req_v2 body;
    } ask = {.head = {.nlmsg_len = sizeof ask, .nlmsg_type = SOCK_DIAG_BY_FAMILY, .nlmsg_flags = NLM_F_REQUEST},
             .body = {.sdiag_family = AF_INET, .sdiag_protocol = IPPROTO_TCP, .idiag_states = ~0u,
                      .idiag_ext = 1 << (INET_DIAG_SKMEMINFO - 1)}};
    char answer[1024];
    struct nlmsghdr *head = (struct nlmsghdr *)answer;

    ask.body.id.idiag_sport = c->peer.sin_port;
    ask.body.id.idiag_dport = own_port;
    ask.body.id.idiag_src[0] = ask.body.id.idiag_dst[0] = htonl(INADDR_LOOPBACK);
    ask.body.id.idiag_cookie[0] = ask.body.id.idiag_cookie[1] = INET_DIAG_NOCOOKIE;
    if (send(diag, &ask, sizeof ask, 0) < 0 || recv(diag, answer, sizeof answer, 0) < (ssize_t)sizeof *head)
        return -1;
    if (head->nlmsg_type != SOCK_DIAG_BY_FAMILY)
        return -1;
    struct inet_diag_msg *found = NLMSG_DATA(head);
    struct rtattr *extra = (struct rtattr *)(found + 1);
    uint32_t late = 0;
    for (long left = (long)head->nlmsg_len - (long)NLMSG_LENGTH(sizeof *found); RTA_OK(extra, left);
         extra = RTA_NEXT(extra, left))
        if (extra->rta_type == INET_DIAG_SKMEMINFO)
            late = ((uint32_t *)RTA_DATA(extra))[SK_MEMINFO_BACKLOG];
    return (int)(found->idiag_rqueue + late);
}

/* ---- bytes in and out ---- */

static void watch(conn *c, int for_write)
{
    struct epoll_event e = {.events = EPOLLIN | (for_write ? EPOLLOUT : 0), .data.fd = c->fd};
    if (c->registered_for_write != for_write && !epoll_ctl(poller, EPOLL_CTL_MOD, c->fd, &e))
        c->registered_for_write = for_write;
}

static void drop(conn *c)
{
    group *g = c->group;
    if (g) {
        for (int i = 0; i < g->joined; i++)
            if (g->fds[i] == c->fd)
                g->fds[i] = -1;
        if (--g->open == 0 && g->joined == g->streams)
            g->stage = OVER;
    }
#ifdef WITH_TLS
    if (c->tls)
        SSL_free(c->tls);
#endif
    close(c->fd);
    conns[c->fd] = NULL;
    free(c->asked);
    free(c->out);
    free(c);
}

static ssize_t push(conn *c, const char *data, size_t n)
{
    ssize_t done;
#ifdef WITH_TLS
    if (c->tls) {
        done = SSL_write(c->tls, data, (int)n);
        return done > 0 ? done : SSL_get_error(c->tls, (int)done) == SSL_ERROR_WANT_WRITE ? 0 : -1;
    }
#endif
    done = send(c->fd, data, n, MSG_NOSIGNAL);
    return done >= 0 ? done : errno == EAGAIN ? 0 : -1;
}

/* Send, or keep what the socket does not take. */
static void say(conn *c, const char *data, size_t n)
{
    ssize_t done = c->out_to > c->out_from ? 0 : push(c, data, n);
    if (done < 0 || (size_t)done == n)
        return; /* a broken connection is found by the poller */
    if (!c->out)
        c->out = malloc(2 * OUT_MAX);
    if (c->out_from == c->out_to)
        c->out_from = c->out_to = 0;
    if (c->out_to + n - (size_t)done <= 2 * OUT_MAX) {
        memcpy(c->out + c->out_to, data + done, n - (size_t)done);
        c->out_to += n - (size_t)done;
    }
    watch(c, 1);
}

static void drain(conn *c)
{
    while (c->out_from < c->out_to) {
        ssize_t done = push(c, c->out + c->out_from, c->out_to - c->out_from);
        if (done <= 0)
            return;
        c->out_from += (size_t)done;
    }
    watch(c, 0);
}

static void token(conn *c)
{
    digits(c->event + stamp_at, clock_ns(CLOCK_MONOTONIC));
    say(c, c->event, sizeof EVENT - 1);
    c->group->events++;
}

static void tokens(conn *c)
{
    char batch[OUT_MAX];
    size_t n = 0;
    for (; n + sizeof EVENT < sizeof batch; n += sizeof EVENT - 1, c->group->events++) {
        digits(c->event + stamp_at, clock_ns(CLOCK_MONOTONIC));
        memcpy(batch + n, c->event, sizeof EVENT - 1);
    }
    say(c, batch, n);
}

static void finish(conn *c)
{
    char end[512];
    int n = snprintf(end, sizeof end, "%zx\r\ndata: " FINISH "\n\n\r\ne\r\ndata: [DONE]\n\n\r\n0\r\n\r\n",
                     sizeof "data: " FINISH "\n\n" - 1);
    say(c, end, (size_t)n);
    c->group = NULL;
}

/* ---- requests ---- */

static int64_t number(const char *spec, const char *end, const char *key, int64_t otherwise)
{
    size_t n = strlen(key);
    for (const char *at = spec; at < end; at++)
        if ((at == spec || at[-1] == ',') && !strncmp(at, key, n) && at[n] == '=')
            return atoll(at + n + 1);
    return otherwise;
}

static void word(const char *spec, const char *end, const char *key, char *into, size_t size)
{
    size_t n = strlen(key), m = 0;
    for (const char *at = spec; at < end; at++)
        if ((at == spec || at[-1] == ',') && !strncmp(at, key, n) && at[n] == '=')
            for (at += n + 1; at < end && *at != ',' && m + 1 < size; at++)
                into[m++] = *at;
    into[m] = 0;
}

static group *group_of(const char *spec, const char *end)
{
    char name[64], mode[16];
    word(spec, end, "group", name, sizeof name);
    word(spec, end, "mode", mode, sizeof mode);
    for (group *g = groups; g; g = g->next)
        if (g->stage != OVER && g->joined < g->streams && !strcmp(g->name, name))
            return g;
    group *g = calloc(1, sizeof *g);
    strcpy(g->name, name);
    for (int i = 0; i <= TTFT; i++)
        if (!strcmp(mode, MODES[i]))
            g->mode = (enum mode)i;
    g->streams = (int)number(spec, end, "streams", 1);
    g->fds = calloc((size_t)g->streams, sizeof *g->fds);
    g->pid = number(spec, end, "pid", 0);
    g->warm = number(spec, end, "warm", 100) * 1000000;
    g->window = number(spec, end, "window", 500) * 1000000;
    g->hold = number(spec, end, "hold", 500) * 1000000;
    g->settle = number(spec, end, "settle", 50) * 1000000;
    g->gap = number(spec, end, "gap", 20000) * 1000;
    g->ttft = number(spec, end, "ttft", 100000) * 1000;
    g->next = groups;
    return groups = g;
}

static void join(conn *c, const char *spec, const char *end, int64_t now)
{
    group *g = group_of(spec, end);
    c->group = g;
    memcpy(c->event, EVENT, sizeof EVENT);
    digits(c->event + arrival_at, now);
    say(c, HEADS, sizeof HEADS - 1);
    c->due = now + g->ttft;
    g->fds[g->joined++] = c->fd;
    g->open++;
    if (g->mode == TTFT ? g->joined > 1 : g->joined < g->streams)
        return;
    g->start = now + (g->mode == TTFT ? 0 : 20000000);
    g->stage = WARMING;
    for (int i = 0; g->mode != TTFT && i < g->joined; i++)
        if (g->fds[i] >= 0)
            conns[g->fds[i]]->due = g->start + (g->mode == PACED ? g->gap * i / g->joined : 0);
}

/* True when a whole request was there. */
static int request(conn *c, int64_t now)
{
    char *end = memmem(c->asked, c->n_asked, "\r\n\r\n", 4);
    size_t length = 0;
    if (!end)
        return 0;
    for (char *at = c->asked; at < end; at = (char *)memchr(at, '\n', (size_t)(end + 2 - at)) + 1)
        if (!strncasecmp(at, "content-length:", 15))
            length = strtoul(at + 15, NULL, 10);
    size_t whole = (size_t)(end + 4 - c->asked) + length;
    if (c->n_asked < whole)
        return 0;
    *end = 0;
    char *spec = strstr(c->asked, "/~"), *over = spec ? strpbrk(spec + 2, "/ ") : NULL;
    if (over)
        join(c, spec + 2, over, now);
    else
        say(c, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", 45);
    memmove(c->asked, c->asked + whole, c->n_asked - whole);
    c->n_asked -= whole;
    return 1;
}

/* Like recv; `now` becomes the time at which the kernel had the bytes, where it says so: this process may be late. */
static ssize_t stamped_recv(conn *c, int64_t *now)
{
    union {
        char room[CMSG_SPACE(sizeof(struct timespec))];
        struct cmsghdr aligned;
    } control;
    struct iovec into = {.iov_base = c->asked + c->n_asked, .iov_len = ASKED_MAX - c->n_asked};
    struct msghdr message = {.msg_iov = &into, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
    ssize_t n = recvmsg(c->fd, &message, 0);
    struct cmsghdr *head = n > 0 ? CMSG_FIRSTHDR(&message) : NULL;
    if (head && head->cmsg_level == SOL_SOCKET && head->cmsg_type == SCM_TIMESTAMPNS) {
        struct timespec t;
        memcpy(&t, CMSG_DATA(head), sizeof t);
        *now -= clock_ns(CLOCK_REALTIME) - (t.tv_sec * 1000000000LL + t.tv_nsec);
    }
    return n;
}

static void receive(conn *c)
{
    int64_t now = clock_ns(CLOCK_MONOTONIC);
    ssize_t n;
#ifdef WITH_TLS
    if (c->tls && !c->shaken) {
        int shaken = SSL_accept(c->tls);
        int why = shaken == 1 ? 0 : SSL_get_error(c->tls, shaken);
        if (why && why != SSL_ERROR_WANT_READ && why != SSL_ERROR_WANT_WRITE)
            drop(c);
        if (shaken != 1)
            return;
        c->shaken = 1;
    }
    if (c->tls) {
        n = SSL_read(c->tls, c->asked + c->n_asked, (int)(ASKED_MAX - c->n_asked));
        if (n <= 0 && SSL_get_error(c->tls, (int)n) == SSL_ERROR_WANT_READ)
            return;
    } else
#endif
        n = stamped_recv(c, &now);
    if (n < 0 && errno == EAGAIN)
        return;
    if (n <= 0) {
        drop(c);
        return;
    }
    c->n_asked += (size_t)n;
    while (c->n_asked && request(c, now))
        ;
}

static void welcome(int listener)
{
    struct sockaddr_in peer;
    socklen_t size = sizeof peer;
    int on = 1, unsent = BACKLOG_MAX, fd;
    while ((fd = accept4(listener, (struct sockaddr *)&peer, &size, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        conn *c;
        if (fd >= FDS_MAX) {
            close(fd);
            continue;
        }
        c = conns[fd] = calloc(1, sizeof *c);
        c->fd = fd;
        c->peer = peer;
        c->asked = malloc(ASKED_MAX);
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unsent, sizeof unsent);
        setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on);
#ifdef WITH_TLS
        if (tls_context) {
            c->tls = SSL_new(tls_context);
            SSL_set_fd(c->tls, fd);
        }
#endif
        epoll_ctl(poller, EPOLL_CTL_ADD, fd, &(struct epoll_event){.events = EPOLLIN, .data.fd = fd});
    }
}

/* ---- groups ---- */

static reading read_clocks(const group *g)
{
    clockid_t theirs = (clockid_t)((~(unsigned)g->pid << 3) | 2); /* MAKE_PROCESS_CPUCLOCK(pid, CPUCLOCK_SCHED) */
    return (reading){.client = g->pid ? clock_ns(theirs) : 0,
                     .own = clock_ns(CLOCK_PROCESS_CPUTIME_ID),
                     .wall = clock_ns(CLOCK_MONOTONIC),
                     .events = g->events};
}

static void report(const group *g)
{
    printf("{\"group\": \"%s\", \"events\": %lld, \"wall_ns\": %lld, \"cpu_ns\": %lld, \"settled_cpu_ns\": %lld, "
           "\"server_cpu_ns\": %lld, \"server_late_ns\": %lld, \"all_events\": %lld, \"waited_ns\": %lld}\n",
           g->name, (long long)(g->last.events - g->first.events), (long long)(g->last.wall - g->first.wall),
           (long long)(g->last.client - g->first.client), (long long)(g->settled.client - g->first.client),
           (long long)(g->last.own - g->first.own), (long long)g->latest, (long long)g->events,
           (long long)g->longer);
    fflush(stdout);
}

static int all_read(const group *g)
{
    for (int i = 0; i < g->joined; i++)
        if (g->fds[i] >= 0 && (conns[g->fds[i]]->out_from < conns[g->fds[i]]->out_to || unread(conns[g->fds[i]]) > 0))
            return 0;
    return 1;
}

/* Move a group on; returns when it wants to be looked at again. */
static int64_t step(group *g, int64_t now)
{
    int64_t stop = g->start + g->warm + g->window;
    if (g->stage == WARMING && now >= g->start + g->warm)
        g->first = read_clocks(g), g->stage = MEASURING;
    if (g->stage == MEASURING && now >= stop)
        g->last = read_clocks(g), g->stage = SETTLING;
    if (g->stage == SETTLING && now >= stop + g->settle + g->longer) {
        if (g->longer < PATIENCE_NS && !all_read(g))
            g->longer = now - stop - g->settle + LOOK_NS;
        else
            g->settled = read_clocks(g), g->stage = HOLDING;
    }
    if (g->stage == HOLDING && now >= stop + g->hold + g->longer) {
        report(g);
        for (int i = 0; i < g->joined; i++)
            if (g->fds[i] >= 0)
                finish(conns[g->fds[i]]);
        g->stage = OVER;
    }
    switch (g->stage) {
    case WARMING: return g->start + g->warm;
    case MEASURING: return stop;
    case SETTLING: return stop + g->settle + g->longer;
    case HOLDING: return stop + g->hold + g->longer;
    default: return NEVER;
    }
}

/* What is due in a group goes out; returns when the next is. */
static int64_t serve(group *g, int64_t now)
{
    int64_t next = NEVER;
    if ((g->stage != WARMING && g->stage != MEASURING) || now < g->start)
        return g->stage == WARMING ? g->start : NEVER;
    for (int i = 0; i < g->joined; i++) {
        conn *c = g->fds[i] < 0 ? NULL : conns[g->fds[i]];
        if (!c)
            continue;
        if (g->mode == LOCK) {
            next = 0;
            if (unread(c) == 0)
                token(c);
        } else if (g->mode == BLAST) {
            if (c->out_from == c->out_to && unread(c) < BACKLOG_MAX) /* more would be read after the clocks */
                tokens(c);
            next = 0;
        } else {
            if (c->due <= now) {
                if (now - c->due > g->latest)
                    g->latest = now - c->due;
                token(c);
                c->due = c->due + g->gap > now ? c->due + g->gap : now + g->gap;
            }
            if (c->due < next)
                next = c->due;
        }
    }
    return next;
}

static int64_t all_groups(void)
{
    int64_t next = NEVER;
    for (group **at = &groups; *at;) {
        group *g = *at;
        int64_t then = step(g, clock_ns(CLOCK_MONOTONIC));
        if (then < next)
            next = then;
        then = serve(g, clock_ns(CLOCK_MONOTONIC));
        if (then < next)
            next = then;
        if (g->stage == OVER) {
            for (int i = 0; i < g->joined; i++)
                if (g->fds[i] >= 0 && conns[g->fds[i]]->group == g)
                    conns[g->fds[i]]->group = NULL;
            *at = g->next;
            free(g->fds);
            free(g);
        } else
            at = &g->next;
    }
    return next;
}

/* ---- start ---- */

static int listening(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) || listen(fd, 4096) ||
        getsockname(fd, (struct sockaddr *)&address, &size))
        fail("listen");
    own_port = address.sin_port;
    return fd;
}

static void with_tls(const char *certificate, const char *key)
{
#ifdef WITH_TLS
    tls_context = SSL_CTX_new(TLS_server_method());
    SSL_CTX_set_num_tickets(tls_context, 0);
    SSL_CTX_set_mode(tls_context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    if (SSL_CTX_use_certificate_chain_file(tls_context, certificate) != 1 ||
        SSL_CTX_use_PrivateKey_file(tls_context, key, SSL_FILETYPE_PEM) != 1) {
        ERR_print_errors_fp(stderr);
        exit(1);
    }
#else
    fprintf(stderr, "built without TLS: %s and %s are of no use\n", certificate, key);
    exit(1);
#endif
}

static void wake_at(int64_t next)
{
    struct itimerspec at = {.it_value = {.tv_sec = next / 1000000000, .tv_nsec = next % 1000000000}};
    timerfd_settime(timer, TFD_TIMER_ABSTIME, &at, NULL);
}

static void handle(const struct epoll_event *e, int listener)
{
    uint64_t ticks;
    if (e->data.fd == listener)
        welcome(listener);
    else if (e->data.fd == timer)
        (void)!read(timer, &ticks, sizeof ticks);
    else {
        if ((e->events & EPOLLOUT) && conns[e->data.fd])
            drain(conns[e->data.fd]);
        if ((e->events & ~(unsigned)EPOLLOUT) && conns[e->data.fd])
            receive(conns[e->data.fd]);
    }
}

int main(int argc, char **argv)
{
    struct rlimit files;
    struct epoll_event ready[256];
    int listener, n;

    prctl(PR_SET_PDEATHSIG, SIGTERM);
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    if (argc > 2)
        with_tls(argv[1], argv[2]);
    stamp_at = (size_t)(strstr(EVENT, "\"content\":\"") - EVENT) + 11;
    arrival_at = (size_t)(strstr(EVENT, "chatcmpl-") - EVENT) + 9;
    poller = epoll_create1(EPOLL_CLOEXEC);
    timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    diag = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
    listener = listening();
    epoll_ctl(poller, EPOLL_CTL_ADD, listener, &(struct epoll_event){.events = EPOLLIN, .data.fd = listener});
    epoll_ctl(poller, EPOLL_CTL_ADD, timer, &(struct epoll_event){.events = EPOLLIN, .data.fd = timer});
    printf("{\"port\": %d, \"lock\": %s}\n", ntohs(own_port), diag < 0 ? "false" : "true");
    fflush(stdout);
    for (int64_t next = NEVER;;) {
        if (next != NEVER && next > 0)
            wake_at(next);
        n = epoll_wait(poller, ready, 256, next <= clock_ns(CLOCK_MONOTONIC) ? 0 : -1);
        for (int i = 0; i < n; i++)
            handle(&ready[i], listener);
        next = all_groups();
    }
}
