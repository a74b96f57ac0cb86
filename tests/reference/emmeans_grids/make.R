# Marginal means by emmeans, for tests/reference/test_means_grids.py.
# Run in this folder: Rscript make.R   (writes data.csv, expected.json and session.txt)
suppressPackageStartupMessages({library(jsonlite); library(lme4); library(emmeans); library(splines)})
set.seed(20)
ids <- 60
subject <- data.frame(
  id = paste0("p", 1:ids), arm = sample(c("control", "low", "high"), ids, TRUE, c(0.5, 0.3, 0.2)),
  sex = sample(c("m", "f"), ids, TRUE, c(0.7, 0.3)), site = sample(c("s1", "s2", "s3"), ids, TRUE),
  dose = sample(c("none", "some", "much"), ids, TRUE), age = round(runif(ids, 20, 70), 1), smoker = rbinom(ids, 1, 0.25)
)
subject$site[subject$arm == "high" & subject$site == "s3"] <- "s2"          # an empty cell
d <- merge(subject, data.frame(visit = c("baseline", "v1", "v2", "v3"), week = c(0, 2, 6, 12)))
d$base <- round(rnorm(nrow(d), 10, 2), 3)
d <- d[runif(nrow(d)) > 0.15, ]
d$y <- round(20 + 0.05 * d$age + (d$arm == "high") * d$week / 6 + rnorm(ids)[as.integer(factor(d$id))] + rnorm(nrow(d)), 4)
write.csv(d, "data.csv", row.names = FALSE, quote = FALSE)
d <- read.csv("data.csv")
d$arm <- factor(d$arm, levels = c("control", "low", "high")); d$sex <- factor(d$sex, levels = c("m", "f"))
d$visit <- factor(d$visit); d$site <- factor(d$site)
d$dose <- factor(d$dose, levels = c("none", "some", "much"), ordered = TRUE)

cases <- list(
  list("y ~ arm * visit + base + (1 | id)", list(c("visit", "arm"), "arm", "visit")),
  list("y ~ arm * sex + age + smoker + (1 | id)", list("arm", "sex", c("sex", "arm"), "smoker")),
  list("y ~ poly(age, 2) * arm + sex + (1 | id)", list("arm", "sex")),
  list("y ~ bs(age, df = 4) + arm * smoker + (1 | id)", list("arm", c("arm", "smoker"))),
  list("y ~ factor(week) * arm + base + (1 | id)", list(c("week", "arm"), "arm")),
  list("y ~ week * arm + log(age) + scale(base) + (1 | id)", list("arm", c("week", "arm"))),
  list("y ~ arm * site + age + (1 | id)", list(c("arm", "site"), "arm", "site")),
  list("y ~ arm + dose + ns(base, df = 3) + (1 | id)", list("dose", "arm")),
  list("y ~ 0 + arm + age:sex + (1 | id)", list("arm", "sex", c("arm", "sex"))),
  list("y ~ sex + age + I(age^2) + poly(base, 2, raw = TRUE):sex + (1 | id)", list("sex")),
  list("y ~ arm + visit + age + I(2 * age) + (1 | id)", list("arm"))
)
emm_options(msg.nesting = FALSE, msg.interaction = FALSE)
one <- function(case) {
  fit <- suppressWarnings(suppressMessages(lmer(as.formula(case[[1]]), d)))
  grids <- lapply(case[[2]], function(by) {
    keep <- c("2", intersect(by, "week"))
    made <- suppressMessages(emmeans(fit, by, cov.keep = keep, lmer.df = "asymptotic", nesting = NULL))
    shown <- as.data.frame(summary(made))
    list(by = I(by), levels = lapply(seq_len(nrow(shown)), function(i) I(sapply(by, function(v) as.character(shown[i, v])))),
         mean = shown$emmean, std_error = shown$SE)
  })
  list(formula = case[[1]], names = names(fixef(fit)), beta = unname(fixef(fit)),
       cov = unname(as.matrix(vcov(fit))), grids = grids)
}
write_json(lapply(cases, one), "expected.json", digits = I(15), auto_unbox = TRUE, null = "null", na = "null")
writeLines(capture.output(sessionInfo()), "session.txt")
