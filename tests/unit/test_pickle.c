/* SPDX-License-Identifier: MIT */
#include "gpu/weights/pickle.h"

#include "common/err.h"
#include "gpu/tensor.h"
#include "tests/unit/check.h"

/* A literal's bytes; they may hold zeros. */
#define BYTES(literal) (literal), sizeof(literal) - 1

static struct pickle *pickle;
static const struct pickle_node *root;
static struct err err;
static size_t used;

static int read_bytes(const void *data, size_t size)
{
    pickle_destroy(&pickle);
    CHECK_INT(pickle_create(&pickle), 0);
    err = (struct err){0};
    root = NULL;
    return pickle_read(pickle, data, size, &used, &root, &err);
}

static void numbers_keep_their_values(void)
{
    CHECK_INT(read_bytes(BYTES("\x80\x02(NK\xffM\xff\xffJ\xff\xff\xff\xff\x8a\x00\x8a\x01\x80"
                               "\x8a\x08\x00\x00\x00\x00\x00\x00\x00\x80"
                               "G\x3f\xf8\x00\x00\x00\x00\x00\x00\x88\x89t.rest")),
              0);
    CHECK_INT(used, 42);
    const struct pickle_list *items = pickle_items(root);
    static const int64_t ints[] = {255, 65535, -1, 0, -128, INT64_MIN};
    CHECK_INT(items->count, 10);
    CHECK_INT(items->item[0]->kind, PICKLE_NONE);
    for (size_t i = 0; i < 6; i++) {
        int64_t value;
        CHECK(pickle_to_int(items->item[1 + i], &value));
        CHECK_INT(value, ints[i]);
    }
    CHECK(items->item[7]->real == 1.5);
    CHECK(items->item[8]->boolean && !items->item[9]->boolean);
    CHECK_INT(read_bytes(BYTES("\x80\x02\x8a\x0al\xfc\x9c\x46\xf9\x20j\xa8P\x19.")), 0);
    CHECK_INT(root->kind, PICKLE_LONG);
    CHECK_INT(root->bytes.size, 10);
}

static void dicts_of_every_kind_have_entries(void)
{
    /* {"a": 1} by SETITEM, SETITEMS, DICT, OrderedDict and EasyDict */
    static const struct {
        const char *bytes;
        size_t size;
    } forms[] = {
        {BYTES("\x80\x02}X\1\0\0\0aK\1s.")},
        {BYTES("\x80\x04}(\x8c\1aK\1u.")},
        {BYTES("\x80\x02(U\1aK\1d.")},
        {BYTES("\x80\x02"
               "ccollections\nOrderedDict\n)R(U\1aK\1u.")},
        {BYTES("\x80\x04\x8c\x0b"
               "dnnlib.util\x8c\x08"
               "EasyDict\x93)\x81(\x8c\1aK\1u.")},
    };
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        int64_t value = 0;
        CHECK_INT(read_bytes(forms[i].bytes, forms[i].size), 0);
        CHECK_INT(pickle_entries(root)->count, 2);
        CHECK(pickle_to_int(pickle_get(root, "a"), &value));
        CHECK_INT(value, 1);
        CHECK(!pickle_get(root, "b"));
    }
}

static void python_2_makes_an_ordered_dict_of_pairs(void)
{
    int64_t value = 0;
    CHECK_INT(read_bytes(BYTES("\x80\x02"
                               "ccollections\nOrderedDict\n](]U\1aaK\1ae\x85R.")),
              0);
    CHECK(pickle_to_int(pickle_get(root, "a"), &value));
    CHECK_INT(value, 1);
}

static void memory_of_every_width_gives_the_same_node(void)
{
    CHECK_INT(read_bytes(BYTES("\x80\x04(}\x94}q\1}r\2\0\0\0h\0h\1j\2\0\0\0t.")), 0);
    const struct pickle_list *items = pickle_items(root);
    CHECK_INT(items->count, 6);
    for (size_t i = 0; i < 3; i++)
        CHECK(items->item[i] == items->item[i + 3]);
}

static void several_pickles_in_a_row_are_read_one_by_one(void)
{
    static const char row[] = "\x80\x02K\1.\x80\x02K\2.";
    const struct pickle_node *second = NULL;
    size_t more = 0;
    int64_t a = 0, b = 0;
    CHECK_INT(read_bytes(row, sizeof row - 1), 0);
    CHECK_INT(used, 5);
    CHECK_INT(pickle_read(pickle, row + used, 5, &more, &second, &err), 0);
    CHECK(pickle_to_int(root, &a) && pickle_to_int(second, &b));
    CHECK_INT(a * 10 + b, 12);
}

static void a_global_off_the_list_stays_a_name(void)
{
    char what[PICKLE_DESCRIPTION_SIZE];
    CHECK_INT(read_bytes(BYTES("\x80\x02"
                               "cos\nsystem\nX\x0c\0\0\0touch /tmp/x\x85R.")),
              0);
    CHECK_INT(root->kind, PICKLE_OBJECT);
    CHECK_INT(pickle_global_of(root)->global.id, PICKLE_OPAQUE);
    CHECK_TEXT(pickle_describe(root, what), "os.system");
    CHECK(!pickle_entries(root));
    /* Control characters, and names longer than the text. */
    CHECK_INT(read_bytes(BYTES("\x80\x04\x8c\3a\x1b[\x8c\2\xff\n\x93.")), 0);
    CHECK_TEXT(pickle_describe(root, what), "a?[.??");
}

static void globals_on_the_list_are_known_by_both_names(void)
{
    CHECK_INT(read_bytes(BYTES("\x80\x02"
                               "ctorch\nHalfStorage\n.")),
              0);
    CHECK_INT(root->global.id, PICKLE_STORAGE);
    CHECK_INT(root->global.type, TENSOR_F16);
    CHECK_INT(read_bytes(BYTES("\x80\x02"
                               "cos\nHalfStorage\n.")),
              0);
    CHECK_INT(root->global.id, PICKLE_OPAQUE);
    CHECK_INT(read_bytes(BYTES("\x80\x02\x82\x07.")), 0);
    CHECK_INT(root->global.id, PICKLE_OPAQUE);
}

static void state_and_persistent_ids_are_kept_as_data(void)
{
    CHECK_INT(read_bytes(BYTES("\x80\x02"
                               "cx\ny\n)\x81}X\1\0\0\0aK\1sb.")),
              0);
    CHECK(pickle_get(root->object.state, "a"));
    CHECK_INT(read_bytes(BYTES("\x80\x02(K\1QK\2Qt.")), 0);
    const struct pickle_node *last = pickle_last_persistent(pickle);
    int64_t value = 0;
    CHECK(pickle_to_int(last->persistent.id, &value));
    CHECK_INT(value, 2);
    CHECK(pickle_to_int(last->persistent.previous->persistent.id, &value));
    CHECK_INT(value, 1);
    CHECK(!last->persistent.previous->persistent.previous);
}

static void a_list_may_hold_itself(void)
{
    CHECK_INT(read_bytes(BYTES("\x80\x02]q\0h\0a.")), 0);
    CHECK(pickle_at(root, 0) == root);
}

static void doubling_tuples_cost_one_node_each(void)
{
    unsigned char bomb[512] = "\x80\x02)";
    size_t size = 3;
    for (int i = 0; i < 200; i++, size += 2) /* DUP, TUPLE2 */
        memcpy(bomb + size, "2\x86", 2);
    bomb[size++] = '.';
    CHECK_INT(read_bytes(bomb, size), 0);
    CHECK(pickle_at(root, 0) == pickle_at(root, 1));
}

static void check_refused(const void *data, size_t size, int code, const char *part)
{
    CHECK_INT(read_bytes(data, size), code);
    CHECK_HAS(err.text, part);
    CHECK(!root);
}

static void what_contradicts_itself_is_refused(void)
{
    check_refused(BYTES(""), ERR_UNSUPPORTED, "protocol 0 or 1");
    check_refused(BYTES("(I1\nt."), ERR_UNSUPPORTED, "protocol 0 or 1");
    check_refused(BYTES("\x80\x01."), ERR_UNSUPPORTED, "protocols 2 to 5");
    check_refused(BYTES("\x80\x06."), ERR_UNSUPPORTED, "protocols 2 to 5");
    check_refused(BYTES("\x80\x02I1\n."), ERR_UNSUPPORTED, "opcode");
    check_refused(BYTES("\x80\x05\x97."), ERR_UNSUPPORTED, "outside the file");
    check_refused(BYTES("\x80\x02."), ERR_CORRUPT, "empty stack");
    check_refused(BYTES("\x80\x02t."), ERR_CORRUPT, "no mark");
    check_refused(BYTES("\x80\x02N(\x85."), ERR_CORRUPT, "empty stack");
    check_refused(BYTES("\x80\x02h\0."), ERR_CORRUPT, "never remembered");
    check_refused(BYTES("\x80\x02Nj\xff\xff\xff\xff."), ERR_CORRUPT, "never remembered");
    check_refused(BYTES("\x80\x02NN\x93."), ERR_CORRUPT, "no text");
    check_refused(BYTES("\x80\x02NNR."), ERR_CORRUPT, "no tuple");
    check_refused(BYTES("\x80\x02NNb."), ERR_CORRUPT, "no object");
    check_refused(BYTES("\x80\x02NNa."), ERR_CORRUPT, "no list");
    check_refused(BYTES("\x80\x02NNNs."), ERR_CORRUPT, "no dict");
    check_refused(BYTES("\x80\x02}(Nu."), ERR_CORRUPT, "no value");
    check_refused(BYTES("\x80\x04N(N\x90."), ERR_CORRUPT, "no set");
    check_refused(BYTES("\x80\x04\x95\xff\0\0\0\0\0\0\0N."), ERR_CORRUPT, "frame");
    check_refused(BYTES("\x80\x04\x8d\xff\xff\xff\xff\xff\xff\xff\xff"), ERR_CORRUPT, "cut off");
    check_refused(BYTES("\x80\x02\x8b\xff\xff\xff\xff."), ERR_CORRUPT, "cut off");
    check_refused(BYTES("\x80\x02"
                        "cos\nsystem"),
                  ERR_CORRUPT, "cut off");
}

static void what_would_eat_memory_is_refused(void)
{
    /* A great memo index costs as much as the table up to it. */
    check_refused(BYTES("\x80\x02Nr\xff\xff\x0f\0."), ERR_LIMIT, "too great a number");
    check_refused(BYTES("\x80\x02Nr\xff\xff\xff\xff."), ERR_LIMIT, "too great a number");
    size_t size = PICKLE_MAX_STACK + 16;
    unsigned char *bomb = malloc(size);
    memcpy(bomb, "\x80\x02N", 3);
    memset(bomb + 3, '2', size - 3);
    check_refused(bomb, size, ERR_LIMIT, "stack");
    memset(bomb + 2, '(', size - 2);
    check_refused(bomb, size, ERR_LIMIT, "nested too deep");
    for (size_t i = 2; i < size; i++)
        bomb[i] = i % 2 ? '0' : 'N';
    check_refused(bomb, size, ERR_CORRUPT, "cut off");
    free(bomb);
    bomb = malloc(2 * size);
    memcpy(bomb, "\x80\x02", 2);
    for (size_t i = 2; i < 2 * size; i++)
        bomb[i] = i % 2 ? '0' : 'N';
    check_refused(bomb, 2 * size, ERR_LIMIT, "million nodes");
    free(bomb);
    size = 2 * (size_t)PICKLE_MAX_STEPS + 16;
    bomb = malloc(size);
    for (size_t i = 0; i < size; i++) /* PROTO 2, again and again */
        bomb[i] = i % 2 ? 2 : 0x80;
    check_refused(bomb, size, ERR_LIMIT, "million opcodes");
    memset(bomb + 2, 'c', size - 2);
    check_refused(bomb, size, ERR_LIMIT, "name has no end");
    free(bomb);
}

static void every_prefix_is_an_error_in_words(void)
{
    static const char whole[] = "\x80\x04\x95\x1a\0\0\0\0\0\0\0}\x94(\x8c\1a\x94"
                                "ccollections\nOrderedDict\n)R\x94G\0\0\0\0\0\0\0\0K\1u.";
    for (size_t cut = 0; cut < sizeof whole - 1; cut++) {
        unsigned char *bytes = malloc(cut ? cut : 1);
        memcpy(bytes, whole, cut);
        int rc = read_bytes(bytes, cut);
        CHECK(rc == ERR_CORRUPT || rc == ERR_UNSUPPORTED);
        CHECK(err.text[0]);
        free(bytes);
    }
}

int main(void)
{
    RUN(numbers_keep_their_values);
    RUN(dicts_of_every_kind_have_entries);
    RUN(python_2_makes_an_ordered_dict_of_pairs);
    RUN(memory_of_every_width_gives_the_same_node);
    RUN(several_pickles_in_a_row_are_read_one_by_one);
    RUN(a_global_off_the_list_stays_a_name);
    RUN(globals_on_the_list_are_known_by_both_names);
    RUN(state_and_persistent_ids_are_kept_as_data);
    RUN(a_list_may_hold_itself);
    RUN(doubling_tuples_cost_one_node_each);
    RUN(what_contradicts_itself_is_refused);
    RUN(what_would_eat_memory_is_refused);
    RUN(every_prefix_is_an_error_in_words);
    pickle_destroy(&pickle);
    return check_report();
}
