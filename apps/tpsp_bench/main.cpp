#include "tpsp/cli/program.h"

int main(int argc, char** argv) {
  return tpsp::run_program(argc, argv, {tpsp::standard_backends(), tpsp::standard_columns()});
}
