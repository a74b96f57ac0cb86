# Six workers on three machines (nlme): a factor whose effects vary, q = 3.
source("../peers.R")
data <- case_data("nlme", "Machines", groups = list(Worker = inside()), levels = list(Machine = c("A", "B", "C")))
save_case(data, list(
  intercepts = peer(data, "score ~ Machine + (1 | Worker)", kr = TRUE),
  slopes = peer(data, "score ~ Machine + (Machine | Worker)", kr = TRUE),
  slopes_ml = peer(data, "score ~ Machine + (Machine | Worker)", reml = FALSE),
  nested = peer(data, "score ~ Machine + (1 | Worker/Machine)", kr = TRUE),
  crossed = peer(data, "score ~ 1 + (1 | Worker) + (1 | Machine)")
))
