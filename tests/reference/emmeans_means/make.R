# Marginal means and their differences by emmeans, with the degrees of freedom of both methods; Orthodont
# with every seventh row left out, so that nothing is balanced.
source("../peers.R")
suppressPackageStartupMessages(library(emmeans))

data <- case_data("nlme", "Orthodont", groups = list(Subject = inside()))
frame <- data$frame[(seq_len(nrow(data$frame)) - 1) %% 7 != 3, ]
frame$age <- factor(frame$age)
frame$Sex <- factor(frame$Sex, levels = c("Female", "Male"))
fit <- lmerTest::lmer(distance ~ age * Sex + (1 | Subject), data = frame, control = tight)

rows <- function(table, columns) {
  out <- as.list(as.data.frame(table)[columns])
  setNames(lapply(out, function(column) if (is.factor(column)) as.character(column) else column), columns)
}
said <- function(method) {
  grid <- emmeans(fit, ~ age * Sex, lmer.df = method)
  by_age <- contrast(emmeans(fit, ~ Sex | age, lmer.df = method), "revpairwise", adjust = "none")
  ages <- suppressMessages(emmeans(fit, ~age, lmer.df = method))
  list(
    means = rows(confint(grid), c("age", "Sex", "emmean", "SE", "df", "lower.CL", "upper.CL")),
    differences = rows(summary(by_age), c("age", "contrast", "estimate", "SE", "df", "t.ratio", "p.value")),
    ages = rows(confint(ages), c("age", "emmean", "SE", "df", "lower.CL", "upper.CL")),
    age_differences = rows(
      summary(contrast(ages, "revpairwise", adjust = "none")),
      c("contrast", "estimate", "SE", "df", "t.ratio", "p.value")
    )
  )
}
write_json(
  list(
    source = paste("make.R in this folder, run with", R.version.string),
    versions = as.list(sapply(c("lme4", "lmerTest", "pbkrtest", "emmeans"), function(p) as.character(packageVersion(p)))),
    rows = nrow(frame), satterthwaite = said("satterthwaite"), kenward_roger = said("kenward-roger")
  ),
  "expected.json", auto_unbox = TRUE, digits = NA, pretty = TRUE
)
writeLines(capture.output(sessionInfo()), "session.txt")
