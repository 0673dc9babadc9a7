/* wan - a switch that delays: every frame that comes in by one port goes out MS milliseconds later, by the port behind
 * which its receiver was last seen, or by all others where that is not known.
 *   wan MS PORT...        (network interfaces, in the namespace it runs in; runs until killed)
 * Frames are at most 64 KiB with the virtio header, by which segments that the sender's kernel leaves to the hardware
 * pass unharmed. All frames have the same delay, so one queue in order of arrival is enough. */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/virtio_net.h>
#include <net/if.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MAX_PORTS = 64, MAX_FRAME = 66000, MAX_STATIONS = 256, MAX_WAITING = 50000 };
#define SECOND INT64_C(1000000000)

typedef struct frame {
    struct frame *next;
    int64_t due;
    int from;
    size_t size;
    uint8_t bytes[];
} frame;

static int ports[MAX_PORTS], n_ports;
static struct {
    uint8_t address[ETH_ALEN];
    int port;
} stations[MAX_STATIONS];
static int n_stations;

static int64_t now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * SECOND + t.tv_nsec;
}

static int open_port(const char *name)
{
    int fd = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK, htons(ETH_P_ALL));
    int one = 1, room = 8 << 20;
    unsigned index = if_nametoindex(name);
    struct sockaddr_ll address = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL), .sll_ifindex = (int)index};
    struct packet_mreq all = {.mr_ifindex = (int)index, .mr_type = PACKET_MR_PROMISC};
    if (fd < 0 || index == 0 || setsockopt(fd, SOL_PACKET, PACKET_VNET_HDR, &one, sizeof one) != 0 ||
        setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &one, sizeof one) != 0 ||
        bind(fd, (struct sockaddr *)&address, sizeof address) != 0 ||
        setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &all, sizeof all) != 0) {
        perror(name);
        exit(1);
    }
    setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room);
    setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof room);
    return fd;
}

static int port_of(const uint8_t *address)
{
    for (int i = 0; i < n_stations; i++)
        if (memcmp(stations[i].address, address, ETH_ALEN) == 0) return stations[i].port;
    return -1;
}

static void learn(const uint8_t *address, int port)
{
    if (port_of(address) >= 0 || n_stations == MAX_STATIONS) return;
    memcpy(stations[n_stations].address, address, ETH_ALEN);
    stations[n_stations++].port = port;
}

static void deliver(const frame *f)
{
    const uint8_t *ethernet = f->bytes + sizeof(struct virtio_net_hdr);
    int to = ethernet[0] & 1 ? -1 : port_of(ethernet); /* odd: to all */
    for (int i = 0; i < n_ports; i++)
        if (i != f->from && (to < 0 || to == i)) {
            ssize_t sent = write(ports[i], f->bytes, f->size);
            (void)sent; /* a cable that is out, or a full queue: lost, as on a real switch */
        }
}

int main(int argc, char **argv)
{
    static uint8_t buffer[MAX_FRAME];
    struct pollfd waiting[MAX_PORTS];
    frame *first = NULL, *last = NULL;
    long count = 0;
    if (argc < 3 || argc - 2 > MAX_PORTS) return 2;
    int64_t delay = (int64_t)(atof(argv[1]) * 1e6);
    n_ports = argc - 2;
    for (int i = 0; i < n_ports; i++) {
        ports[i] = open_port(argv[i + 2]);
        waiting[i] = (struct pollfd){.fd = ports[i], .events = POLLIN};
    }
    for (;;) {
        int64_t rest = first ? first->due - now() : SECOND;
        if (rest < 0) rest = 0;
        if (rest >= SECOND) rest = SECOND - 1;
        ppoll(waiting, (nfds_t)n_ports, &(struct timespec){.tv_nsec = rest}, NULL);
        for (int i = 0; i < n_ports; i++)
            for (int k = 0; k < 64; k++) {
                ssize_t size = recv(ports[i], buffer, sizeof buffer, 0);
                if (size < (ssize_t)(sizeof(struct virtio_net_hdr) + ETH_HLEN)) break;
                learn(buffer + sizeof(struct virtio_net_hdr) + ETH_ALEN, i);
                if (count == MAX_WAITING) continue;
                frame *f = malloc(sizeof *f + (size_t)size);
                if (!f) return 1;
                *f = (frame){.due = now() + delay, .from = i, .size = (size_t)size};
                memcpy(f->bytes, buffer, (size_t)size);
                if (last) last->next = f;
                else first = f;
                last = f;
                count++;
            }
        for (int64_t t = now(); first && first->due <= t; count--) {
            frame *f = first;
            first = f->next;
            if (!first) last = NULL;
            deliver(f);
            free(f);
        }
    }
}
