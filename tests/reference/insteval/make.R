# Lectures rated by students (lme4): 73,421 ratings, students x lecturers x departments. Takes R minutes.
source("../peers.R")
data <- case_data(
  "lme4", "InstEval",
  groups = list(s = inside(), d = inside(), dept = inside()), levels = list(service = c("0", "1"))
)
save_case(data, list(
  crossed = peer(data, "y ~ service + (1 | s) + (1 | d) + (1 | dept)", df = FALSE, quick = TRUE)
))
