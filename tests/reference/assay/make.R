# A bioassay on two plates (nlme): rows and columns of a plate are crossed within it; three factors.
source("../peers.R")
data <- case_data(
  "nlme", "Assay",
  groups = list(Block = inside()),
  levels = list(sample = c("a", "b", "c", "d", "e", "f"), dilut = c("1", "2", "3", "4", "5"))
)
save_case(data, list(
  crossed = peer(data, "logDens ~ sample + dilut + (1 | Block:sample) + (1 | Block:dilut)", kr = TRUE),
  three = peer(data, "logDens ~ sample * dilut + (1 | Block) + (1 | Block:sample) + (1 | Block:dilut)")
))
